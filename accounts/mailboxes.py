"""Email addresses in one canonical spelling, because accounts with the same address belong to one person."""

from __future__ import annotations

import unicodedata
from typing import Any

import idna
from django.core.exceptions import ValidationError
from django.db import models


def canonical(address: str) -> str:
    """Return the address in its canonical spelling: Unicode in NFKC, and the domain in ASCII (A-labels,
    lowercase).

    The case of the local part is kept, because mail servers may distinguish it. Raises ValueError for an
    invalid domain, and for a quoted local part, because `"alice"` and `alice` are the same mailbox (RFC 5321,
    4.1.2). Sources: RFC 5891, UTS 46, UAX 15.
    """
    local, at, domain = unicodedata.normalize("NFKC", address).rpartition("@")
    if '"' in local:
        raise ValueError("quoted local part")
    if not at or domain.startswith("["):
        return local + at + domain
    # IDNAError is a UnicodeError, which is a ValueError.
    return f"{local}@{idna.encode(domain, uts46=True).decode('ascii')}"


def folded(address: str) -> str:
    """Return a key that is equal for all spellings of an address. Other text is only case-folded."""
    try:
        return canonical(address).casefold()
    except ValueError:
        return address.casefold()


class MailboxField(models.EmailField):  # type: ignore[type-arg]  # it takes arguments only in the stubs
    """An email address, stored in its canonical spelling."""

    def to_python(self, value: Any) -> Any:
        """Return the canonical spelling. Raises ValidationError."""
        try:
            return canonical(value) if value else value
        except ValueError:
            raise ValidationError("Not an email address.") from None

    def pre_save(self, model_instance: models.Model, add: bool) -> Any:
        """Return the value to store, and set it on the instance."""
        value = self.get_prep_value(super().pre_save(model_instance, add))
        setattr(model_instance, self.attname, value)
        return value

    def get_prep_value(self, value: Any) -> Any:
        """Return the canonical spelling, or an invalid value unchanged, which the database then rejects."""
        try:
            return canonical(value) if isinstance(value, str) else super().get_prep_value(value)
        except ValueError:
            return value

    def deconstruct(self) -> Any:
        """Return the field as a plain EmailField for migrations."""
        name, _, args, kwargs = super().deconstruct()
        return name, "django.db.models.EmailField", args, kwargs
