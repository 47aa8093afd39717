"""Intervals, hypothesis tests, quantiles, scores, figures of merit, sample sizes. Independent of images and models."""
