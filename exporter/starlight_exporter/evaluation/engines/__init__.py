"""Engines other than threads of this process, and their settings."""
