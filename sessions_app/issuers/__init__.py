"""Adapters that prove identities with the tokens of others: machines by their issuers, people by a provider."""
