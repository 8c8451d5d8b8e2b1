"""Requests over HTTP: how a document of the kind is read, how a request is decided, what the linter says."""
