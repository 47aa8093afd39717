"""Markdown documents of measured values."""
