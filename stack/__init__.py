"""The local stack on loopback, as processes or containers: exporter, Prometheus, Alertmanager, Grafana."""
