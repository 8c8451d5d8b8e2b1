"""Which functions of Stint can reach the record or a write, read from the source.

Each name in a function's body that is one of Stint's functions, classes or tasks counts as called, whether it
is called or passed on. For an object whose class the source does not show, every method of that name in the
module counts.
"""

import ast
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
ROOMS = ("accounts", "broker", "sessions_app")
# The installed command, the demonstration and the database scripts are not part of the running service.
ELSEWHERE = ("broker.cli", "broker.demo", "broker.embedded")
RECORDS = {
    ("broker.audit.record", "record"),
    ("broker.audit.record", "record_many"),
    ("broker.audit.backlog", "record_end"),
    ("broker.audit.backlog", "record_ends"),
}
# Database functions that append to the record.
RECORDING_SQL = ("stint_requests_allowed(", "sweep_due_grants(")
WRITES = {
    "save",
    "create",
    "bulk_create",
    "bulk_update",
    "update_or_create",
    "get_or_create",
    "delete",
    "update",
    "set_password",
}
WRITING_SQL = ("INSERT INTO", "UPDATE ", "DELETE FROM", "FROM renew_gateway")
# These import neither Django nor models, so that apparent writes in them are none.
PURE = ("sessions_app.policy", "sessions_app.connectors", "sessions_app.workflows", "sessions_app.issuers")
Place = tuple[str, str]


@dataclass
class Module:
    """One module: its functions and methods by name, and the meaning of its names."""

    name: str
    functions: dict[str, ast.AST] = field(default_factory=dict)
    classes: dict[str, list[str]] = field(default_factory=dict)
    bases: dict[str, list[str]] = field(default_factory=dict)
    imports: dict[str, Place] = field(default_factory=dict)
    texts: dict[str, str] = field(default_factory=dict)


class Source:
    """All of Stint's source."""

    @cached_property
    def modules(self) -> dict[str, Module]:
        found = (_module(path) for room in ROOMS for path in sorted((ROOT / room).rglob("*.py")))
        return {module.name: module for module in found if not module.name.startswith(ELSEWHERE)}

    @cached_property
    def tasks(self) -> dict[str, Place]:
        """The worker's tasks by the names under which they are sent."""
        tasks = self.modules["sessions_app.tasks"]
        return {
            str(keyword.value.value): (tasks.name, name)
            for name, node in tasks.functions.items()
            if isinstance(node, ast.FunctionDef)
            for mark in node.decorator_list
            if isinstance(mark, ast.Call)
            for keyword in mark.keywords
            if keyword.arg == "name" and isinstance(keyword.value, ast.Constant)
        }

    def records(self, place: Place) -> bool:
        """Whether a function can reach the record."""
        return place in self._recording

    def writes(self, place: Place) -> bool:
        """Whether a function can reach a write to the database."""
        return place in self._writing

    @cached_property
    def _recording(self) -> set[Place]:
        return self._leading_to(
            {one for one in self._callers if one in RECORDS or self._has_text(one, RECORDING_SQL)}
        )

    @cached_property
    def _writing(self) -> set[Place]:
        near = [one for one in self._callers if not one[0].startswith(PURE)]
        return self._leading_to({one for one in near if self._has_text(one, WRITING_SQL) or self._saves(one)})

    @cached_property
    def _callers(self) -> dict[Place, set[Place]]:
        """Return every function with its callers."""
        found: dict[Place, set[Place]] = {
            (module.name, name): set() for module in self.modules.values() for name in module.functions
        }
        for place in list(found):
            for called in self._called(place):
                found[called].add(place)
        return found

    def _leading_to(self, ends: set[Place]) -> set[Place]:
        seen, waiting = set(ends), list(ends)
        while waiting:
            new = self._callers[waiting.pop()] - seen
            seen |= new
            waiting += new
        return seen

    def _node(self, place: Place) -> ast.AST:
        return self.modules[place[0]].functions[place[1]]

    def _called(self, place: Place) -> Iterator[Place]:
        module = self.modules[place[0]]
        own_class = place[1].rpartition(".")[0]
        for node in ast.walk(self._node(place)):
            if isinstance(node, ast.Name):
                yield from self._named(module, node.id)
            elif isinstance(node, ast.Constant) and node.value in self.tasks:
                yield self.tasks[str(node.value)]
            elif isinstance(node, ast.Attribute):
                yield from self._attribute(module, node, own_class)

    def _named(self, module: Module, name: str) -> Iterator[Place]:
        if name in module.functions:
            yield module.name, name
        for method in module.classes.get(name, ()):
            yield module.name, method
        if name in module.imports:
            source, what = module.imports[name]
            if source in self.modules and source != module.name:
                yield from self._named(self.modules[source], what)

    def _attribute(self, module: Module, node: ast.Attribute, own_class: str) -> Iterator[Place]:
        base = module.imports.get(node.value.id) if isinstance(node.value, ast.Name) else None
        behind = ".".join(base).removesuffix(".") if base else ""
        if behind in self.modules:
            yield from self._named(self.modules[behind], node.attr)
        elif own_class and _is_self(node.value):
            yield from self._method(module, own_class, node.attr)
        else:
            yield from ((module.name, name) for name in module.functions if name.endswith(f".{node.attr}"))

    def _method(self, module: Module, class_: str, name: str) -> Iterator[Place]:
        """Yield a method of a class, or of the first base class that has it."""
        if f"{class_}.{name}" in module.functions:
            yield module.name, f"{class_}.{name}"
            return
        for base in module.bases.get(class_, ()):
            source, what = module.imports.get(base, (module.name, base))
            if source in self.modules:
                yield from self._method(self.modules[source], what, name)

    def _has_text(self, place: Place, texts: tuple[str, ...]) -> bool:
        kept = self.modules[place[0]].texts
        for node in ast.walk(self._node(place)):
            said = node.value if isinstance(node, ast.Constant) else kept.get(getattr(node, "id", ""))
            # A lock writes nothing.
            if isinstance(said, str) and any(text in said.replace("NO KEY UPDATE ", "") for text in texts):
                return True
        return False

    def _saves(self, place: Place) -> bool:
        return any(
            isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in WRITES
            for node in ast.walk(self._node(place))
        )


def _module(path: Path) -> Module:
    parts = path.relative_to(ROOT).with_suffix("").parts
    module = Module(".".join(parts[:-1] if parts[-1] == "__init__" else parts))
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            module.functions[node.name] = node
        elif isinstance(node, ast.ClassDef):
            methods = [one for one in node.body if isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef)]
            module.functions |= {f"{node.name}.{one.name}": one for one in methods}
            module.bases[node.name] = [base.id for base in node.bases if isinstance(base, ast.Name)]
            module.classes[node.name] = [f"{node.name}.{one.name}" for one in methods]
        elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            # A table of functions counts as a call, and a string may be SQL.
            module.functions[node.targets[0].id] = node.value
            if isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
                module.texts[node.targets[0].id] = node.value.value
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.value:
            module.functions[node.target.id] = node.value
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            module.imports |= {one.asname or one.name: (node.module, one.name) for one in node.names}
    return module


def _is_self(node: ast.expr) -> bool:
    return isinstance(node, ast.Name) and node.id in ("self", "cls")
