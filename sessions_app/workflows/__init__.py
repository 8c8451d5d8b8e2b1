"""Adapters that read the work that justifies access. They know no Django: frozen facts in, frozen answers out."""
