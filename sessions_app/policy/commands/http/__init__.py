"""Requests over HTTP: parsing documents, deciding requests, and linting."""
