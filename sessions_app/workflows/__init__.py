"""Adapters that read the workflows for which access is granted.

This package doesn't import Django: its functions take and return frozen data.
"""
