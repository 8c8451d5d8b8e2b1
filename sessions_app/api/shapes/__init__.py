"""Shapes of responses."""
