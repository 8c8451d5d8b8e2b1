"""Adapters that store finished recordings and archives. This package imports no Django."""
