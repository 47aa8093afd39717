"""Markdown documents made of measured values alone; each module makes one."""
