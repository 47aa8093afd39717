"""The markdown dashboard: a document with trend charts, written from Prometheus.

`prometheus` queries; `alerts` (with Alertmanager's silences), `trends` and `dashboard` (with `check_samples`, `metrics`
and `unlabelled`) turn results into data, which `content` collects; `trend_charts`, `metric_tables` and `document`
render it, `writer` keeps the files up to date. Nothing is evaluated here: limits and results of checks are
those of the exporter.
"""
