"""Adapters that read the workflows that justify access.

This package imports no Django: it takes and returns frozen data.
"""
