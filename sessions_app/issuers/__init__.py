"""Adapters that prove who a machine is by the tokens of others."""
