"""Connectors that read and change targets, one for each kind of cluster. This package doesn't import
Django.
"""
