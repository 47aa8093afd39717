"""Evaluates steganalysis detectors on labelled images and exposes the outcome to Prometheus."""

__version__ = "0.2.0"
