"""Speed and memory, measured by hand; README.md holds the numbers."""
