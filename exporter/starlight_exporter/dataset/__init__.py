"""Labelled image datasets: discovery, labels, cache, quality and shortcuts."""
