"""What a kind of command is made of; each package beside this module has one as its ``KIND``."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sessions_app.policy.commands.answers import Allowed, CommandView, CompiledSet, Refused
from sessions_app.policy.commands.document import CommandSetDocument
from sessions_app.policy.commands.findings import Finding
from sessions_app.policy.commands.starters import Starter


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandKind:
    """One kind. Its functions take documents and compiled sets of this kind alone.

    ``name`` is the word under ``kind`` in documents, ``title`` the one on pages; ``starters`` are documents to begin with, the
    most useful first; ``hint`` is an example of what people write into the tester: ``systemctl restart nginx``.

    - ``with_values(document, bindings, keep)``: the commands with values in place; ``keep`` are the indices that the approvers
      left in (None: all). Raises CompileError for a missing, unknown or refused value and an index that the set does not have.
    - ``open(document)``: the commands whose parameters are free inside their types.
    - ``decide(compiled, line)``: whether a command, as people write it, may run, and as what. Never raises for a line.
    - ``covers(parent, child)``: why the child may allow what the parent does not, or less strictly, in a clause; None only when
      it is proven that it never does.
    - ``describe(compiled)``: the commands in the document's order, with bound values and what is free at each run.
    - ``lint(document)``: all findings, errors first.
    """

    name: str
    title: str
    document: type[CommandSetDocument]
    starters: Sequence[Starter]
    hint: str
    with_values: Callable[[Any, Mapping[str, str], Collection[int] | None], CompiledSet]
    open: Callable[[Any], CompiledSet]
    decide: Callable[[Any, str], Allowed | Refused]
    covers: Callable[[Any, Any], str | None]
    describe: Callable[[Any], list[CommandView]]
    lint: Callable[[Any], list[Finding]]
