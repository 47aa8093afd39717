"""Generator of `grafana/dashboards/*.json`: one module per dashboard, and shared modules for panels and queries.

`python -m grafana.source` writes the files; a test fails if they differ from the generator's output.
"""
