"""Adapters that verify identities with external tokens: machines by their issuers, people by a provider."""
