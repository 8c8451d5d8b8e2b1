"""Pydantic's errors in plain language, for the people who write documents."""

import re
from collections.abc import Mapping
from typing import Any

from sessions_app.policy.commands.sizes import show_bytes
from sessions_app.policy.durations import show_duration
from sessions_app.policy.samples import sample_of
from sessions_app.policy.spelling import closest, did_you_mean

_MESSAGES: Mapping[str, str] = {
    "string_unicode": "must be text that is valid UTF-8",
    "bool_parsing": "must be true or false, without quotes",
    "int_parsing": "must be a whole number, without quotes",
    "int_parsing_size": "must be a smaller number",
    "int_from_float": "must be a whole number",
    "float_type": "must be a number, without quotes",
    "float_parsing": "must be a number, without quotes",
    "finite_number": "must be a finite number",
    "set_type": "must be a list",
    "frozen_set_type": "must be a list",
    "none_required": "must be empty",
    "is_instance_of": "has the wrong structure: see its description",
    "union_tag_not_found": "must specify its kind: see its description",
    "union_tag_invalid": "names an unknown kind: see its description",
    "date_type": "must be a date, such as 2026-11-28",
    "date_parsing": "must be a date, such as 2026-11-28",
    "date_from_datetime_parsing": "must be a date, such as 2026-11-28",
    "datetime_type": "must be a timestamp, such as 2026-12-20T00:00:00+01:00",
    "datetime_parsing": "must be a timestamp, such as 2026-12-20T00:00:00+01:00",
    "datetime_from_date_parsing": "must be a timestamp, such as 2026-12-20T00:00:00+01:00",
    "datetime_object_invalid": "must be a timestamp, such as 2026-12-20T00:00:00+01:00",
    "timezone_aware": "needs a time zone, such as 2026-12-20T00:00:00+01:00",
    "time_type": 'must be a time of day in quotes, such as "02:00"',
    "time_parsing": 'must be a time of day in quotes, such as "02:00"',
    "missing": "is missing: add it",
    "extra_forbidden": "is not a known key here: check the spelling or remove it",
    "string_type": "must be text: put it in quotes",
    "bool_type": "must be true or false, without quotes",
    "int_type": "must be a whole number, without quotes",
    "tuple_type": "must be a list",
    "list_type": "must be a list",
    "dict_type": "must be a mapping: `key: value`",
    "model_type": "must be a mapping: `key: value`",
    "model_attributes_type": "must be a mapping: `key: value`",
}
UNKNOWN_KEY, MISSING = _MESSAGES["extra_forbidden"], _MESSAGES["missing"]
_QUOTED = r"'([^']*)'"
_LIMITS = {
    "greater_than": ("more than", "gt"),
    "greater_than_equal": ("at least", "ge"),
    "less_than": ("less than", "lt"),
    "less_than_equal": ("at most", "le"),
    "multiple_of": ("a multiple of", "multiple_of"),
}

# Descriptions of patterns, by their beginning, if an example alone is not enough.
_FORMS = {
    "^[a-z0-9][a-z0-9_-]": "lowercase letters, digits, hyphens and underscores, such as web-eu",
    "^[a-z0-9]([a-z0-9-]": "lowercase letters, digits and hyphens, such as restart-web",
    "^[a-z][a-z0-9_]": "lowercase letters, digits and underscores, such as unit",
    "^[a-z_][a-z0-9_-]": "a Linux account name, such as deploy",
    "^(ssh-ed25519|": "a public key on one line, such as ssh-ed25519 AAAA…",
    "^([A-Za-z0-9]([A-Za-z0-9-]": "a host name or IP address, such as web-1.example.com or 192.0.2.1",
}


def plain_message(kind: str, message: str, context: Mapping[str, Any], written: Any) -> str:
    """Return pydantic's message in plain language.

    ``written`` is the value in the document: durations and sizes are text there, so their limits are shown in
    the same form.
    """
    if kind == "literal_error":
        expected = context["expected"]
        return f"must be {expected}{did_you_mean(written, re.findall(_QUOTED, expected))}"
    if kind == "parameter_type":
        return message + _type_meant(message, written)
    if kind == "string_pattern_mismatch":
        return f"must be {_form(context['pattern'])}"
    if kind in ("too_short", "string_too_short"):
        return f"is empty: {'add at least one entry' if kind == 'too_short' else 'enter a value'}"
    if kind in ("too_long", "string_too_long"):
        return f"is longer than {context['max_length']}: shorten it"
    if kind in _LIMITS:
        word, name = _LIMITS[kind]
        limit = context[name]
        return f"must be {word} {_shown(limit, written)}"
    return _MESSAGES.get(kind, message.removeprefix("Value error, "))


def _shown(limit: int, written: Any) -> str:
    """Return a limit in the form of the value that exceeds it."""
    if not isinstance(written, str):
        return str(limit)
    return show_bytes(limit) if written.endswith("B") else show_duration(limit)


def _type_meant(message: str, written: Any) -> str:
    """Return a suggestion for a misspelled type of a parameter (`{choise: [nginx]}`)."""
    types = re.findall(r"[a-z]+", message.partition(":")[2])
    keys = written if isinstance(written, Mapping) else ()
    return next((did_you_mean(key, types) for key in keys if closest(str(key), types)), "")


def _form(pattern: str) -> str:
    """Return a description of a pattern, or an example."""
    words = next((words for begin, words in _FORMS.items() if pattern.startswith(begin)), "")
    sample = sample_of(pattern)
    return words or (f"like {sample}" if sample else "in the documented form: see its description")
