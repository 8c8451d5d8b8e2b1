"""The interface of a kind of command. Each subpackage exports one as its ``KIND``."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sessions_app.policy.commands.answers import Allowed, CommandView, CompiledSet, Refused
from sessions_app.policy.commands.document import CommandSetDocument
from sessions_app.policy.commands.findings import Finding
from sessions_app.policy.commands.starters import Starter


@dataclass(frozen=True, slots=True, kw_only=True)
class Forms:
    """How commands that Stint's gateway runs itself are filled from a form.

    - ``fillable(compiled)``: the indices of the commands that can be run from a form.
    - ``lines_for(compiled, index, values)``: the decision on a filled command, as for a typed line. Refuses
      an unknown index, a missing or unknown value, and a value outside its type.
    - ``line_of(compiled, index, values)``: the filled line, allowed or not; None if the index is unknown or a
      value is missing. Raises QuoteRefused for a value that can't be quoted.
    - ``hides(compiled)``: whether some values are secret. Then the line to run is that of ``line_of``,
      because decisions contain no secrets.
    - ``recorded(compiled, line, digests)``: a line of such a set in its recorded form. ``digests`` computes
      the digests of secret values.
    """

    fillable: Callable[[Any], Collection[int]]
    lines_for: Callable[[Any, int, Mapping[str, str]], Allowed | Refused]
    line_of: Callable[[Any, int, Mapping[str, str]], str | None]
    hides: Callable[[Any], bool] = lambda compiled: False  # noqa: ARG005  # most kinds have no secret values
    recorded: Callable[[Any, str, Callable[[bytes], bytes]], str] = lambda compiled, line, digests: line  # noqa: ARG005


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandKind:
    """One kind of command. Its functions take only documents and compiled sets of this kind.

    ``name`` is the word under ``kind`` in documents, ``title`` the name on pages. ``starters`` are documents
    to start from, most useful first. ``hint`` is an example of input for the tester: ``systemctl restart
    nginx``.

    - ``with_values(document, bindings, keep)``: the commands with their values bound. ``keep`` are the
      indices that the approvers kept (None: all). Raises CompileError for a missing, unknown or refused
      value, and for an index that the set does not have.
    - ``open(document)``: the commands with parameters that are free within their types.
    - ``decide(compiled, line)``: whether a command, as typed, may run, and in what form. Never raises because
      of a line.
    - ``covers(parent, child)``: why the child may allow something that the parent does not, or does less
      strictly, as a clause; None only if that is proven impossible.
    - ``describe(compiled)``: the commands in document order, with bound values and the values that are free
      at each run.
    - ``lint(document)``: all findings, errors first.

    ``forms`` describes how the commands are run from a page; None if they can't be. ``fills(compiled)``:
    whether that applies to the commands of a set.
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
    forms: Forms | None = None
    fills: Callable[[Any], bool] = lambda compiled: True  # noqa: ARG005  # most kinds have one sort of set
