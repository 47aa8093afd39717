"""Models as files: model cards, training logs, manifests of training files."""
