"""Readers of evaluations: metric families, history, evidence."""
