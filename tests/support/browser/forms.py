"""The forms of a page as a browser reads them: what each sends, and how the page describes each field."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser

TICKED = ("radio", "checkbox")
VOID = frozenset(("input", "br", "hr", "img", "meta", "link", "rect", "path"))


@dataclass
class Control:
    """One control of a form. ``value`` is what it sends; a checkbox sends it only when ``on``."""

    kind: str
    name: str
    value: str
    attributes: dict[str, str]
    on: bool = True

    @property
    def is_hidden(self) -> bool:
        """Whether people can't fill it in."""
        return self.kind == "hidden" or "hidden" in self.attributes or "readonly" in self.attributes

    @property
    def described_by(self) -> list[str]:
        """The ids of the elements that describe it."""
        return self.attributes.get("aria-describedby", "").split()


@dataclass
class Form:
    """One form; ``buttons`` are its submit buttons, by name and value."""

    action: str
    method: str
    controls: list[Control] = field(default_factory=list)
    buttons: list[tuple[str, str]] = field(default_factory=list)

    @property
    def names(self) -> list[str]:
        """Return the names of the fields that people fill in, in order."""
        return list(dict.fromkeys(one.name for one in self.controls if not one.is_hidden))

    def of(self, name: str) -> list[Control]:
        """Return the controls of a name: several for a group of checkboxes."""
        return [one for one in self.controls if one.name == name]

    def data(self) -> dict[str, list[str]]:
        """Return what it would send unchanged."""
        found: dict[str, list[str]] = {}
        for one in self.controls:
            if one.on:
                found.setdefault(one.name, []).append(one.value)
        return found


class Page(HTMLParser):
    """The forms of a page, and the text of each of its elements that has an id."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.forms: list[Form] = []
        self.texts: dict[str, str] = {}
        self.shown = ""
        self._by_id: dict[str, Form] = {}
        self._outside: list[tuple[str, Control | tuple[str, str]]] = []
        self._form: Form | None = None
        self._open: list[tuple[str, str, Form | None]] = []
        self._area: Control | None = None
        self._select: list[Control] = []
        self._option: Control | None = None
        self.feed(text)
        for name, one in self._outside:
            if name in self._by_id:
                self._put(self._by_id[name], one)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = {name: value or "" for name, value in attrs}
        if tag == "form":
            self._form = Form(found.get("action", ""), found.get("method", "get").lower())
            self.forms.append(self._form)
            self._by_id[found.get("id", "")] = self._form
        if "id" in found:
            self.texts[found["id"]] = ""
        if tag not in VOID:
            self._open.append((tag, found.get("id", ""), self._form))
        self._control(tag, found)

    def _control(self, tag: str, found: dict[str, str]) -> None:
        name, kind = found.get("name", ""), found.get("type", "text")
        if tag == "button" and kind == "submit":
            self._keep(found, (name, found.get("value", "")))
        elif tag == "input" and name and "disabled" not in found:
            on = kind not in TICKED or "checked" in found
            self._keep(
                found, Control(kind, name, found.get("value", "on" if kind in TICKED else ""), found, on)
            )
        elif tag == "textarea":
            self._area = Control("textarea", name, "", found)
            self._keep(found, self._area)
        elif tag == "select":
            self._select = [Control("select", name, "", found, on=False)]
            self._keep(found, self._select[0])
        elif tag == "option" and self._select:
            self._option = Control("select", self._select[0].name, found.get("value", ""), found)
            self._option.on = "selected" in found or not self._select[0].on
            if self._option.on:
                self._select[0].value, self._select[0].on = self._option.value, True

    def handle_endtag(self, tag: str) -> None:
        if tag == "form":
            self._form = None
        elif tag == "textarea":
            self._area = None
        elif tag == "select":
            self._select, self._option = [], None
        elif tag == "option":
            self._option = None
        while self._open and tag not in VOID:
            if self._open.pop()[0] == tag:
                break

    def handle_data(self, data: str) -> None:
        if self._area is not None:
            self._area.value += data.removeprefix("\n") if not self._area.value else data
            return
        if self._option is not None and self._option.on and "value" not in self._option.attributes:
            self._select[0].value = data
        inside = [tag for tag, _, _ in self._open]
        if "script" not in inside and "style" not in inside:
            self.shown += data
        for _, name, _ in self._open:
            if name:
                self.texts[name] += data

    def _keep(self, found: dict[str, str], one: Control | tuple[str, str]) -> None:
        if "form" in found:
            self._outside.append((found["form"], one))
        elif self._form is not None:
            self._put(self._form, one)

    @staticmethod
    def _put(form: Form, one: Control | tuple[str, str]) -> None:
        if isinstance(one, Control):
            form.controls.append(one)
        else:
            form.buttons.append(one)

    def posts(self) -> Iterator[Form]:
        """Yield the forms that change something."""
        return (form for form in self.forms if form.method == "post")
