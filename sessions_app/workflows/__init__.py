"""Adapters that read the workflows that justify access. No Django here: frozen facts in, frozen answers out."""
