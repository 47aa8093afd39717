"""From file bytes to a verdict: streams, ONNX session, decision rule."""
