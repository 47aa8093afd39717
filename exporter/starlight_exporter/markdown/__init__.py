"""The markdown mirror: what Prometheus knows of the detectors, as a document with charts beside it.

`prometheus` asks; `alerts` (with Alertmanager's silences) and `history` put answers over time together; `dashboard`
turns current samples into figures with targets; `charts` and `svg` draw, `document` words it, `files` writes it.
Nothing here evaluates: of the exporter it knows names of metrics and thresholds.
"""
