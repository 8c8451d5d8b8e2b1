"""Markup in every stored text, past all validation: pages must show it inert all the same."""

from django.apps import apps
from django.db import models

from tests.bench.database import owner

# Sets a mark if a browser interprets any of it as more than text.
EVIL = (
    "\"'><script>window.canary=1</script><img src=x onerror=window.canary=1><svg onload=window.canary=1>"
    "<a href=javascript:window.canary=1>x</a>{{ 7|add:7 }}"
)
# What a column accepts instead, such as an address, which can't have double quotes.
INSTEAD = {"identity.email": EVIL.replace('"', "")}
# What stays before the markup: the word of a line that makes it a transfer.
BEFORE = {"commandorder.line": "split_part(line, ' ', 1) || ' ' || "}
# Text that Stint itself parses and follows: keywords, references, digests, addresses inside the site.
KEPT = {
    "accesspolicy.digest",
    "accessrequest.digest",
    "approval.digest",
    "commandset.kind",
    "commandsetversion.digest",
    "grant.ref",
    "grant.mark",
    "identity.username",
    "identity.password",
    "identity.time_zone",
    "notice.path",
    "commandrun.recording",
    "commandrun.recording_digest",
    "documentversion.type",
    "documentversion.name",
    "documentversion.digest",
    "workflow.ref",
    "workflow.outside_id",
    "bookmark.query",
    "orderedfile.direction",
    "signingkey.public_key",
    "signingkey.private_key",
    "attemptcount.subject",
    "apitoken.digest",
    "sshpublickey.blob",
    "sshpublickey.fingerprint",
    "sshpublickey.algorithm",
}


def spoil(database: str) -> list[str]:
    """Write markup into every text column of people, catalog, requests, grants and runs; return the
    columns.
    """
    spoiled = []
    for model in apps.get_models():
        if model._meta.app_label not in ("accounts", "sessions_app") or not model._meta.managed:
            continue
        columns = [field for field in model._meta.concrete_fields if _takes_any_text(field)]
        if not columns:
            continue
        table = model._meta.db_table
        key = model._meta.pk.column
        # The key before it keeps unique values unique.
        values = ", ".join(
            f"\"{field.column}\" = left({BEFORE.get(_name(field), '')}{key} || ' ' ||"
            f" $evil${_evil(field)}$evil$, {field.max_length or 4000})"
            for field in columns
        )
        owner(
            database,
            f"ALTER TABLE {table} DISABLE TRIGGER USER",
            f"UPDATE {table} SET {values}",
            f"ALTER TABLE {table} ENABLE TRIGGER USER",
        )
        spoiled += map(_name, columns)
    return spoiled


def _name(field: models.Field) -> str:
    return f"{field.model._meta.model_name}.{field.name}"


def _evil(field: models.Field) -> str:
    return INSTEAD.get(_name(field), EVIL)


def _takes_any_text(field: models.Field) -> bool:
    """Whether the column may have a person's own words: no key, no slug (which has no such letters), no
    choice.
    """
    return (
        isinstance(field, models.CharField | models.TextField)
        and not isinstance(field, models.SlugField)
        and not field.choices
        and _name(field) not in KEPT
        and field.name not in ("state", "id")
    )
