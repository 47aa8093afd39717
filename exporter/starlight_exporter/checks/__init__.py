"""Regression checks: limits, the baseline file, check results and the regression suite."""
