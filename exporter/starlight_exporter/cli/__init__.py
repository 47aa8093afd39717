"""Command lines: `starlight-exporter` runs the service, `starlight` evaluates and compares models."""
