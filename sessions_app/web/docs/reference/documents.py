"""Describe the keys of documents, from the models that parse them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml
from pydantic import BaseModel

from sessions_app.policy.durations import PATTERN, show_duration
from sessions_app.web.docs.reference.entries import Entry

Schema = Mapping[str, Any]
_DEFINITION = "#/$defs/"
_SIMPLE = {
    "string": "text",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "`true` or `false`",
    "object": "a mapping",
    "null": "null",
}
# The parameter types, which have a page of their own.
PARAMETER_TYPES = ("Choice", "Int", "Pattern", "PathBelow", "Name", "Cidr", "Duration", "WorkflowValue")
_ANY_TYPE = "a [parameter type](/docs/reference/command-sets/#part-parameter-types)"


@dataclass(frozen=True, slots=True)
class Keys:
    """The keys of one model and of its nested models. ``anchors`` is the prefix of each anchor."""

    schema: Schema
    definitions: Mapping[str, Schema]
    anchors: str = ""

    def entries(self, *, only: Sequence[str] | None = None, but: Sequence[str] = ()) -> list[Entry]:
        """Return an entry for each key; the keys of a nested mapping follow the key that contains it."""
        return list(self._keys(self.schema, "", only=only, but=but))

    def _keys(
        self,
        schema: Schema,
        path: str,
        *,
        only: Sequence[str] | None = None,
        but: Sequence[str] = (),
        within: tuple[str, ...] = (),
    ) -> Iterator[Entry]:
        required = schema.get("required", ())
        for name, said in schema.get("properties", {}).items():
            if name in but or (only is not None and name not in only):
                continue
            yield self._entry(f"{path}{name}", said, required=name in required)
            for inner, mark in self._inner(said):
                if inner not in within and inner not in PARAMETER_TYPES:
                    yield from self._keys(
                        self.definitions[inner], f"{path}{name}{mark}.", within=(*within, inner)
                    )

    def _entry(self, title: str, said: Schema, *, required: bool) -> Entry:
        facts = [("Value", self.in_words(said)), ("Default", "required" if required else _default(said))]
        if isinstance(said.get("examples"), list) and said.get("pattern") != PATTERN:
            facts.append(("Example", f"`{_flow(title, said['examples'][0])}`"))
        text = said.get("description") or self._text_of(said)
        return Entry(
            title,
            _sentence(text),
            facts,
            anchor=f"{self.anchors}{title}".lower().replace("[]", "").replace(".*", ""),
        )

    def _text_of(self, said: Schema) -> str:
        """Return the description of the model of a key's value; empty if the value has no model."""
        names = [name for name, _ in self._inner(said)]
        return str(self.definitions[names[0]].get("description", "")) if names else ""

    def _inner(self, said: Schema) -> Iterator[tuple[str, str]]:
        """Yield the models that can be the value of a key, with `[]` if the value is a list of them."""
        if reference := said.get("$ref"):
            yield reference.removeprefix(_DEFINITION), ""
        for option in (*said.get("anyOf", ()), *said.get("oneOf", ()), *said.get("allOf", ())):
            yield from self._inner(option)
        if isinstance(items := said.get("items"), Mapping):
            yield from ((name, "[]") for name, _ in self._inner(items))
        if values := _values(said):
            yield from ((name, ".*") for name, _ in self._inner(values))

    def in_words(self, said: Schema) -> str:
        """Return a description of the values that a schema accepts."""
        if reference := said.get("$ref"):
            name = reference.removeprefix(_DEFINITION)
            return _ANY_TYPE if name in PARAMETER_TYPES else "a mapping"
        if "const" in said:
            return f"`{said['const']}`"
        if "enum" in said:
            return _or(f"`{value}`" for value in said["enum"])
        if options := [*said.get("anyOf", ()), *said.get("oneOf", ()), *said.get("allOf", ())]:
            options.sort(key=lambda one: one.get("type") == "array")
            return _or(dict.fromkeys(self.in_words(one) for one in options if one.get("type") != "null"))
        return self._plain(said)

    def _plain(self, said: Schema) -> str:
        type_ = said.get("type")
        if isinstance(type_, list):
            return _or(_SIMPLE[one] for one in type_ if one != "null")
        if type_ == "array":
            return self._list(said)
        if type_ == "object":
            values = _values(said)
            return f"a mapping of names to {self.in_words(values)}" if values else "a mapping"
        if type_ == "integer" and {"minimum", "maximum"} <= said.keys():
            return f"a whole number from {said['minimum']} to {said['maximum']}"
        if said.get("format") == "date-time":
            return "a time with its offset, such as `2026-12-20T00:00:00+01:00`"
        if said.get("pattern") == PATTERN:
            return "a duration such as `30m` or `4h`"
        return _SIMPLE.get(str(type_), "any value")

    def _list(self, said: Schema) -> str:
        if prefix := said.get("prefixItems"):
            return f"a list of {len(prefix)}: {self.in_words(prefix[0])} each"
        return f"a list; each item is {self.in_words(said.get('items', {}))}"


def keys_of(model: type[BaseModel], anchors: str = "") -> Keys:
    """Return the keys of a model, by their names in documents."""
    schema = model.model_json_schema(by_alias=True)
    return Keys(schema, schema.get("$defs", {}), anchors)


def text_of(model: type[BaseModel]) -> str:
    """Return the docstring of a model as text."""
    return str(model.model_json_schema(by_alias=True).get("description", "")).replace("``", "`")


def fence(source: str) -> str:
    """Return a block of YAML."""
    return f"```yaml\n{source.strip()}\n```"


def _values(said: Schema) -> Schema:
    """Return the schema of a mapping's values; empty if there is none."""
    values: object = said.get("additionalProperties") or next(
        iter(said.get("patternProperties", {}).values()), {}
    )
    return values if isinstance(values, Mapping) else {}


def _default(said: Schema) -> str:
    value = said.get("default")
    if (not value and value is not False and value != 0) or isinstance(value, Mapping):
        return "none"
    if isinstance(value, int) and said.get("pattern") == PATTERN:
        return f"`{show_duration(value)}`"
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


def _flow(title: str, example: Any) -> str:
    name = title.rpartition(".")[2]
    return yaml.safe_dump(
        {name: example}, default_flow_style=True, sort_keys=False, width=1000, allow_unicode=True
    ).strip()[1:-1]


def _or(words: Any) -> str:
    listed = list(words)
    return listed[0] if len(listed) == 1 else f"{', '.join(listed[:-1])} or {listed[-1]}"


def _sentence(text: str) -> str:
    plain = text.replace("``", "`").strip()
    return f"{plain[:1].upper()}{plain[1:]}{'' if plain.endswith(('.', ':')) or not plain else '.'}"
