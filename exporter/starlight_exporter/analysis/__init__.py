"""Analyses of evaluations: paired comparison, ablation, source gaps."""
