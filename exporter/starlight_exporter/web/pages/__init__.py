"""The web pages, one module per page: each builds a `Page`, which a template renders."""
