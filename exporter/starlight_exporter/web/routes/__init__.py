"""The HTTP routes, one module per group of endpoints; each handler turns one request into one response."""
