"""Labelled images: found on disk, checked for quality, or synthesised."""
