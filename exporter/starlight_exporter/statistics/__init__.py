"""Intervals, hypothesis tests, quantiles, scores and sample sizes. Independent of images and models."""
