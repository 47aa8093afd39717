"""The markdown dashboard: a document with trend charts, written from Prometheus.

`prometheus` queries; `alerts` (with Alertmanager's silences), `trends` and `dashboard` turn results into data, which
`content` collects; `trend_charts` and `document` render it, `writer` keeps the files up to date. Nothing is evaluated
here: of the exporter, only metric names and thresholds are used.
"""
