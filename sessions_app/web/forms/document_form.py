"""Edit a catalog document with a form that is generated from its JSON schema. The form changes the
document's text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import yaml
from django.http import QueryDict

from sessions_app.policy.documents import DocumentError, Problem, load_yaml
from sessions_app.policy.durations import show_duration
from sessions_app.policy.yaml_edit import changed
from sessions_app.web.forms.faults import Faults, count_of

PREFIX = "f."
MISSING: Any = object()
Schema = Mapping[str, Any]
# Up to this many choices are shown side by side.
_FEW = 4
_KEPT = ("description", "default", "examples", "word")


@dataclass(frozen=True, slots=True)
class DocumentField:
    """One field. ``shape`` is text, lines, choice, tick, yaml, group or rows. Groups and rows have ``parts``.

    ``present`` means that the document has a value for the field.
    """

    name: str
    label: str
    shape: str
    help: str = ""
    value: str = ""
    usual: str = ""
    required: bool = False
    present: bool = False
    choices: Sequence[str] = ()
    parts: Sequence[DocumentField] = ()
    # A word, such as `none`, that can take the place of rows, and whether it is the current value.
    word: str = ""
    is_word: bool = False

    @property
    def id(self) -> str:
        """The id of the input element."""
        return self.name.replace(".", "-")

    @property
    def template(self) -> str:
        """The template that renders the field."""
        return f"ui/form/{self.shape}.html"

    @property
    def is_short(self) -> bool:
        """Whether the choices fit side by side."""
        return len(self.choices) <= _FEW and self.required

    @property
    def names(self) -> Iterator[str]:
        """The names of all inputs in the field, in order."""
        yield self.name
        for part in self.parts:
            yield from part.names


@dataclass(frozen=True, slots=True)
class DocumentForm:
    """The fields of a document. ``above`` is a sentence that lists the keys that only the text view shows."""

    fields: Sequence[DocumentField] = ()
    faults: Faults = field(default_factory=Faults)
    above: str = ""

    @property
    def main(self) -> list[DocumentField]:
        """The fields that are required, have a value, or have a problem."""
        return [one for one in self.fields if one.required or one.present or one.name in self.marked]

    @property
    def more(self) -> list[DocumentField]:
        """The other fields."""
        main = self.main
        return [one for one in self.fields if one not in main]

    @property
    def marked(self) -> set[str]:
        """The names of the fields with a problem, and of the groups that contain them."""
        parts = (name.split(".") for name in self.faults.at)
        return {".".join(one[:end]) for one in parts for end in range(1, len(one) + 1)}


def form_of(source: str, schema: Schema, problems: Sequence[Problem]) -> DocumentForm | None:
    """Return the form of a document, with each problem at its field. None if the text can't be parsed."""
    try:
        data = load_yaml(source)
    except DocumentError:
        return None
    fields = [
        _field(key, node, data.get(key, MISSING), f"{PREFIX}{key}", needed)
        for key, node, needed in _keys(schema, schema)
    ]
    only_text = [key for key in data if key not in schema.get("properties", {})]
    above = f"Only the YAML shows {', '.join(only_text)}." if only_text else ""
    names = [name for one in fields for name in one.names]
    at: dict[str, str] = {}
    for problem in problems:
        name = _nearest(problem.path, names)
        text = problem.sentence if name else problem.of_key
        at[name] = f"{at[name]} {text}" if name in at else text
    unplaced = at.pop("", "")
    ordered = {name: at[name] for name in names if name in at}
    return DocumentForm(fields, Faults(ordered, (unplaced,) if unplaced else count_of(ordered)), above)


def shows_form(sent: QueryDict) -> bool:
    """Whether to show the form: if the reader pressed a button that switches the view, the other view is
    shown, otherwise the current one.
    """
    chosen = sent.get("act")
    return chosen == "form" or (chosen != "yaml" and sent.get("view") == "form")


def with_form(source: str, schema: Schema, sent: QueryDict) -> str:
    """Return the text of a document, with the form's changes if the form was sent."""
    return applied(source, schema, sent) if schema and sent.get("view") == "form" else source


def applied(source: str, schema: Schema, sent: QueryDict) -> str:
    """Return the text of a document with the values from a sent form.

    Text that can't be parsed is returned unchanged.
    """
    try:
        data = load_yaml(source)
    except DocumentError:
        return source
    new = _sent_keys(schema, schema, data, PREFIX.rstrip("."), sent)
    return changed(source, new)


def _nearest(path: str, names: Sequence[str]) -> str:
    """Return the name of the field that a problem concerns, or of the nearest field that contains it."""
    parts = re.findall(r"[^.\[\]]+", path)
    while parts:
        if (name := PREFIX + ".".join(parts)) in names:
            return name
        parts.pop()
    return ""


def _keys(node: Schema, schema: Schema) -> Iterator[tuple[str, Schema, bool]]:
    """Yield the keys of a mapping in schema order, each with its schema and whether it is required.

    The key `kind` is left out, because a document's kind is chosen when it is created.
    """
    for key, about in node.get("properties", {}).items():
        if "const" not in about:
            yield key, {**about, "$defs": schema.get("$defs", {})}, key in node.get("required", ())


def _plain(node: Schema) -> Schema:
    """Return a schema with its reference resolved and without its null alternative."""
    definitions = node.get("$defs", {})
    named = str(node.get("$ref", "")).rpartition("/")[2]
    if named:
        return {
            **definitions[named],
            **{key: node[key] for key in _KEPT if key in node},
            "$defs": definitions,
        }
    choices = [one for one in node.get("anyOf", ()) if one.get("type") != "null"]
    arrays = [one for one in choices if one.get("type") == "array"]
    words = [one["const"] for one in choices if "const" in one]
    if len(arrays) == len(words) == 1 and len(choices) == 2:
        choices, node = arrays, {**node, "word": words[0]}
    if len(choices) == 1:
        rest = {key: node[key] for key in _KEPT if key in node}
        return _plain({**choices[0], **rest, "$defs": definitions})
    return node


def _shape(node: Schema) -> str:
    if "enum" in node:
        return "choice"
    if node.get("properties"):
        return "group"
    kind = node.get("type")
    if kind == "array":
        items = _plain({**node.get("items", {}), "$defs": node.get("$defs", {})})
        if items.get("properties"):
            return "rows"
        return "lines" if items.get("type") == "string" or "enum" in items else "yaml"
    if kind == "boolean":
        return "tick"
    return "text" if kind in ("string", "integer") or "pattern" in node else "yaml"


def _fits(shape: str, value: Any) -> bool:
    """Whether a document's value can be shown in a field of this shape."""
    if value is MISSING or value is None:
        return True
    wanted: Any = {"group": dict, "rows": list, "lines": list, "tick": bool}.get(shape)
    if wanted is None:
        return shape == "yaml" or not isinstance(value, dict | list)
    if not isinstance(value, wanted):
        return False
    if shape == "rows":
        return all(isinstance(one, dict) for one in value)
    return shape != "lines" or all(isinstance(one, str) and "\n" not in one for one in value)


def _field(key: str, node: Schema, value: Any, name: str, needed: bool) -> DocumentField:
    plain = _plain(node)
    shape = _shape(plain)
    if not _fits(shape, value) and value != plain.get("word", MISSING):
        shape = "yaml"
    found = DocumentField(
        name=name,
        label=key.replace("_", " ").capitalize(),
        shape=shape,
        help=plain.get("description", "") if shape != "group" or "description" in node else "",
        usual=_usual(plain),
        required=needed,
        present=value is not MISSING and value is not None,
        choices=plain.get("enum", ()),
    )
    if shape == "group":
        inside = value if isinstance(value, dict) else {}
        return replace(found, parts=_parts(plain, inside, name))
    if shape == "rows":
        items = _plain({**plain["items"], "$defs": plain.get("$defs", {})})
        rows = [*(value if isinstance(value, list) else ()), {}]
        parts = [
            DocumentField(
                f"{name}.{at}",
                f"{found.label} {at + 1}",
                "row",
                present=bool(row),
                parts=_parts(items, row, f"{name}.{at}"),
            )
            for at, row in enumerate(rows)
        ]
        word = plain.get("word", "")
        return replace(found, parts=parts, word=word, is_word=bool(word) and value == word)
    return replace(found, value=_text(shape, value))


def _parts(node: Schema, data: Mapping[str, Any], name: str) -> list[DocumentField]:
    return [
        _field(key, one, data.get(key, MISSING), f"{name}.{key}", needed)
        for key, one, needed in _keys(node, node)
    ]


def _usual(node: Schema) -> str:
    value = node.get("default")
    if value in (None, "") or isinstance(value, dict | list):
        return ""
    seconds = isinstance(value, int) and not isinstance(value, bool) and node.get("type") != "integer"
    return show_duration(value) if seconds else str(value)


def _text(shape: str, value: Any) -> str:
    if value is MISSING or value is None:
        return ""
    if shape == "lines":
        return "\n".join(value)
    if shape == "yaml":
        return _yaml(value)
    return ("true" if value else "false") if isinstance(value, bool) else str(value)


def _yaml(value: Any) -> str:
    if isinstance(value, str):
        return value
    text = yaml.safe_dump(value, default_flow_style=None, sort_keys=False, allow_unicode=True, width=100_000)
    return text.removesuffix("\n").removesuffix("\n...")


def _sent_keys(
    node: Schema, schema: Schema, old: Mapping[str, Any], name: str, sent: QueryDict
) -> dict[str, Any]:
    """Return a mapping with the values that were sent. Keys that the form doesn't show are kept."""
    new = dict(old)
    for key, about, _ in _keys(node, schema):
        value = _sent(about, old.get(key, MISSING), f"{name}.{key}", sent)
        if value is MISSING:
            new.pop(key, None)
        else:
            new[key] = value
    return new


def _sent(node: Schema, old: Any, name: str, sent: QueryDict) -> Any:
    plain = _plain(node)
    shape = _shape(plain)
    if not _fits(shape, old) and old != plain.get("word", MISSING):
        shape = "yaml"
    if f"shown.{name}" not in sent:
        return old
    if shape == "group":
        inside = _sent_keys(plain, plain, old if isinstance(old, dict) else {}, name, sent)
        return inside if inside or (isinstance(old, dict) and not old) else MISSING
    if shape == "rows":
        return _sent_rows(plain, old, name, sent)
    text = sent.get(name, "").replace("\r\n", "\n").strip()
    if text == _text(shape, old).strip() and not (shape == "tick" and old is MISSING):
        return old
    return _value(shape, plain, text)


def _sent_rows(node: Schema, old: Any, name: str, sent: QueryDict) -> Any:
    items = _plain({**node["items"], "$defs": node.get("$defs", {})})
    if f"word.{name}" in sent:
        return node["word"]
    known = old if isinstance(old, list) else []
    rows = []
    for at in range(len(known) + 1):
        before = known[at] if at < len(known) else {}
        row = _sent_keys(items, items, before, f"{name}.{at}", sent)
        if row and f"drop.{name}.{at}" not in sent:
            rows.append(row)
    return rows or (old if old == [] else MISSING)


def _value(shape: str, node: Schema, text: str) -> Any:
    """Convert typed text to a document value. Text that isn't valid for the field's type stays a string."""
    if not text:
        return MISSING
    if shape == "lines":
        return [line.strip() for line in text.split("\n") if line.strip()]
    if shape == "tick":
        return text == "true"
    if shape == "yaml":
        try:
            return load_yaml("value:\n" + "".join(f"  {line}\n" for line in text.split("\n")))["value"]
        except DocumentError:
            return text
    whole = node.get("type") == "integer" and re.fullmatch(r"-?[0-9]{1,18}", text)
    return int(text) if whole else text
