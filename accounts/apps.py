"""Identities, groups, credentials, sign-in and permissions."""

from django.apps import AppConfig


class AccountsConfig(AppConfig):
    """People, services and agents."""

    name = "accounts"
    verbose_name = "Identities"
