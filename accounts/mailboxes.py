"""Email addresses in the one spelling that is stored: accounts with one address are one person."""

from __future__ import annotations

import unicodedata
from typing import Any

import idna
from django.core.exceptions import ValidationError
from django.db import models


def canonical(address: str) -> str:
    """Return the address in its one spelling: Unicode in NFKC, and the domain in ASCII (A-labels, lowercase).

    The case of the local part is kept, because it can matter to its mail server. Raises ValueError for a domain that
    no name server could have, and for a quoted local part: `"alice"` and `alice` are one mailbox (RFC 5321, 4.1.2).
    Sources: RFC 5891, UTS 46, UAX 15.
    """
    local, at, domain = unicodedata.normalize("NFKC", address).rpartition("@")
    if '"' in local:
        raise ValueError("quoted local part")
    if not at or domain.startswith("["):
        return local + at + domain
    # IDNAError is a UnicodeError, which is a ValueError.
    return f"{local}@{idna.encode(domain, uts46=True).decode('ascii')}"


def folded(address: str) -> str:
    """Return what two spellings of an address have in common. Text that is no address is only case-folded."""
    try:
        return canonical(address).casefold()
    except ValueError:
        return address.casefold()


class MailboxField(models.EmailField):  # type: ignore[type-arg]  # it takes arguments only in the stubs
    """An email address that is stored in its canonical spelling, however it was written."""

    def to_python(self, value: Any) -> Any:
        """Return the canonical spelling. Raises ValidationError."""
        try:
            return canonical(value) if value else value
        except ValueError:
            raise ValidationError("Not an email address.") from None

    def pre_save(self, model_instance: models.Model, add: bool) -> Any:
        """Return what is stored, and show it on the instance."""
        value = self.get_prep_value(super().pre_save(model_instance, add))
        setattr(model_instance, self.attname, value)
        return value

    def get_prep_value(self, value: Any) -> Any:
        """Return the canonical spelling. One that does not exist is left for the database to refuse."""
        try:
            return canonical(value) if isinstance(value, str) else super().get_prep_value(value)
        except ValueError:
            return value

    def deconstruct(self) -> Any:
        """Return it as the column that it is."""
        name, _, args, kwargs = super().deconstruct()
        return name, "django.db.models.EmailField", args, kwargs
