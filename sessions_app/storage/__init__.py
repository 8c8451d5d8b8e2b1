"""Adapters that keep finished recordings and archives. No Django here."""
