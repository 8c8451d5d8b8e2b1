"""WHO: identities, groups, credentials, sign-in, permissions."""

from django.apps import AppConfig


class AccountsConfig(AppConfig):
    """People, services and agents."""

    name = "accounts"
    verbose_name = "Identities"
