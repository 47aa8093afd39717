"""Evaluations: run one model on one dataset, and store the immutable result."""
