"""Adapters that store finished recordings and archives. This package doesn't import Django."""
