"""The pages for people, one module per page: each puts together a `Page`, and the templates only lay it out."""
