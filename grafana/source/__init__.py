"""What writes `grafana/dashboards/*.json`: one module per dashboard over a few shared ones.

`python -m grafana.source` rewrites the files; a test fails when they differ from what the code says.
"""
