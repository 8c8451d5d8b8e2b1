"""Adapters that prove who somebody is by the tokens of others: machines by their issuers, people by a provider."""
