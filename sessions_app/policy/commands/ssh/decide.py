"""Commands and files over SSH: the only function that decides for gateway, tester, API and pages.

`compile_set` runs once per grant. `decide` then splits a line into words with the strict parser and compares
them with each command word by word. If several commands of a set match, the strictest decides: held before
free, destructive before change before read, cut off before allowed to finish, as the account before as root,
the smaller file before the larger.
In a word with several values, such as `{a}:{b}`, a value ends at the first occurrence of the text after its
placeholder. So the value can't contain that text.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from sessions_app.policy.commands import answers
from sessions_app.policy.commands.answers import CommandView, CompileError, Refused, free_parameter
from sessions_app.policy.commands.argv.lines import LineRefused, check_argv, parse_line
from sessions_app.policy.commands.argv.matching import (
    NOT_LISTED,
    match_word,
    text_of,
    values_fault,
)
from sessions_app.policy.commands.argv.quoting import readable
from sessions_app.policy.commands.argv.templates import Slot, Template, Word, fill
from sessions_app.policy.commands.binding import bind, check_kept
from sessions_app.policy.commands.characters import clip
from sessions_app.policy.commands.document import EFFECT_RANK
from sessions_app.policy.commands.parameters import ParameterType, ValueRefused
from sessions_app.policy.commands.ssh import transfers
from sessions_app.policy.commands.ssh.document import Contain, SSHCommand, SSHCommandSet
from sessions_app.policy.commands.ssh.file_rules import FileRule, PutFile
from sessions_app.policy.commands.ssh.transfers import Facts, Transfer
from sessions_app.policy.documents import Problem

RefusalCode = Literal["syntax", "empty", "left_out", "program", "length", "word", "value"]


@dataclass(slots=True)
class Allowed(answers.Allowed):
    """A command line that may run, as its words.

    ``transfer`` is the file transfer that it names instead of a program.
    """

    contain: Contain
    as_root: bool
    transfer: Transfer | None = None

    @property
    def line(self) -> str:
        """The command as typed. The strict parser parses it back to exactly `argv`."""
        return readable(self.argv)


@dataclass(frozen=True, slots=True)
class CompiledSSHCommand(answers.CompiledCommand):
    """One command with the bound values in place.

    ``digest`` is the only SHA-256 that an uploaded file may have; empty for any.
    """

    rule: SSHCommand | FileRule
    contain: Contain
    template: Template
    words: tuple[Word, ...]  # the template's words with the bound values in place
    plain: tuple[str | None, ...]  # the text of each word without a free value; None for other words
    types: Mapping[str, ParameterType]
    digest: str = ""

    @property
    def strictness(self) -> tuple[bool, int, int, bool, bool, tuple[int, bool, bool], int]:
        """The sort key: the command with the lowest key decides."""
        rule, finish = self.rule, self.rule.finish_seconds
        most = transfers.limits(rule, self.digest) if isinstance(rule, FileRule) else (0, False, False)
        rank = EFFECT_RANK[rule.effect]
        return not rule.held, rank, finish or 0, self.contain == "group", rule.as_root, most, self.index


@dataclass(frozen=True, slots=True)
class CompiledSet(answers.CompiledSet):
    """The command lines of one grant, compiled for `decide`."""

    commands: tuple[CompiledSSHCommand, ...]
    left_out: tuple[CompiledSSHCommand, ...]
    by_shape: Mapping[tuple[str, int], tuple[CompiledSSHCommand, ...]] = field(repr=False)


def compile_set(
    document: SSHCommandSet, bindings: Mapping[str, str], keep: Collection[int] | None = None
) -> CompiledSet:
    """Return the commands with the grant's values in place. `keep` are the indices that the approvers kept
    (None: all).

    Raises CompileError for a missing, unknown or refused value, and for an index that the set does not have.
    """
    check_kept(document, keep)
    bound = bind(document, bindings)
    _check_stops(document, bound)
    _check_file_values(document, bound)
    return _compile(document, bound, keep)


def compile_open(document: SSHCommandSet) -> CompiledSet:
    """Return the set with no values bound.

    Parameters are free within their types, so the set allows everything that any grant could allow.
    """
    return _compile(document, {}, None)


def _compile(document: SSHCommandSet, bound: Mapping[str, str], keep: Collection[int] | None) -> CompiledSet:
    commands = [_compile_rule(document, index, rule, bound) for index, rule in enumerate(document.commands)]
    kept = tuple(command for command in commands if keep is None or command.index in keep)
    by_shape: dict[tuple[str, int], tuple[CompiledSSHCommand, ...]] = {}
    for command in sorted(kept, key=lambda command: command.strictness):
        key = (command.plain[0] or "", len(command.words))
        by_shape[key] = (*by_shape.get(key, ()), command)
    left_out = tuple(command for command in commands if command not in kept)
    return CompiledSet("ssh", document.name, dict(bound), kept, left_out, by_shape)


def _compile_rule(
    document: SSHCommandSet, index: int, rule: SSHCommand | FileRule, bound: Mapping[str, str]
) -> CompiledSSHCommand:
    template = rule.template()
    words = tuple(fill(word, bound) for word in template.words)
    plain = tuple(word[0] if len(word) == 1 and isinstance(word[0], str) else None for word in words)
    types = {name: document.type_of(rule, name) for name in template.names}
    digest = (rule.sha256 or "") if isinstance(rule, PutFile) else ""
    if isinstance(rule, PutFile) and rule.digest_name:
        digest = bound.get(rule.digest_name, "")
    return CompiledSSHCommand(index, rule, document.contain_of(rule), template, words, plain, types, digest)


def _check_file_values(document: SSHCommandSet, bound: Mapping[str, str]) -> None:
    """Refuse bound values that lead to other folders, or that are not the digest that a rule needs."""
    for rule in document.commands:
        if not isinstance(rule, FileRule):
            continue
        for name in rule.template().names:
            if name in bound and (fault := transfers.value_fault(name, bound[name])):
                raise CompileError([Problem(f"parameters.{name}", fault.removeprefix(f"{name} "))])
        digest_name = rule.digest_name if isinstance(rule, PutFile) else None
        if digest_name and (fault := transfers.digest_fault(bound[digest_name])):
            raise CompileError([Problem(f"parameters.{digest_name}", fault)])


def _check_stops(document: SSHCommandSet, bound: Mapping[str, str]) -> None:
    """Apply the rule for free values also to bound values, so that `compile_open` allows at least what every
    grant allows.
    """
    for index, rule in enumerate(document.commands):
        for piece in (piece for word in rule.template().words for piece in word):
            if isinstance(piece, Slot) and piece.stop and piece.stop in bound.get(piece.name, ""):
                message = (
                    f"must not contain {clip(piece.stop)}, because that text follows the value in "
                    f"commands[{index}]: choose another value"
                )
                raise CompileError([Problem(f"parameters.{piece.name}", message)])


def decide(compiled: CompiledSet, line: str) -> Allowed | Refused:
    """Decide whether this line may run, and in what form. Never raises because of a line."""
    try:
        argv = parse_line(line)
    except LineRefused as error:
        return Refused(error.reason, None, "syntax")
    return decide_argv(compiled, argv)


def decide_argv(compiled: CompiledSet, argv: tuple[str, ...]) -> Allowed | Refused:
    """Like `decide`, for words that are already parsed."""
    if not argv:
        return Refused("a command is required", None, "syntax")
    if fault := transfers.word_fault(argv):
        return Refused(fault, None, "word")
    words, facts = transfers.split_facts(argv)
    for command in compiled.by_shape.get((words[0], len(words)), ()):
        matched = _match(command, words)
        if matched is not None:
            return _allow(command, argv, matched, facts)
    return _explain(compiled, words)


def _allow(
    command: CompiledSSHCommand, argv: tuple[str, ...], matched: Mapping[str, str], facts: Facts
) -> Allowed | Refused:
    """Return the decision of the command that a line matches. For a file, the content must also match."""
    rule, transfer = command.rule, None
    if isinstance(rule, FileRule):
        if fault := transfers.content_fault(rule, command.digest, facts):
            return Refused(fault, text_of(command.words), "value")
        transfer = transfers.transfer_of(rule, argv[1], command.digest, facts)
    return Allowed(
        command.index,
        rule.effect,
        rule.held,
        rule.finish_seconds,
        matched,
        argv,
        command.contain,
        rule.as_root,
        transfer,
    )


def _match(command: CompiledSSHCommand, argv: tuple[str, ...]) -> Mapping[str, str] | None:
    for plain, word in zip(command.plain, argv, strict=True):
        if plain is not None and plain != word:
            return None
    matched: dict[str, str] = {}
    try:
        for spec, plain, word in zip(command.words, command.plain, argv, strict=True):
            if plain is None:
                match_word(spec, word, command.types, matched)
    except ValueRefused:
        return None
    return None if _leads_elsewhere(command, matched) else matched


def _leads_elsewhere(command: CompiledSSHCommand, matched: Mapping[str, str]) -> str | None:
    """Return, as a clause, which value of a file's path leads to another folder; None if none does."""
    if not isinstance(command.rule, FileRule):
        return None
    faults = (transfers.value_fault(name, value) for name, value in matched.items())
    return next((fault for fault in faults if fault), None)


def _explain(compiled: CompiledSet, argv: tuple[str, ...]) -> Refused:
    """Explain why nothing matches: the first difference from the nearest command."""
    for command in compiled.left_out:
        if len(command.words) == len(argv) and _match(command, argv) is not None:
            return Refused("the approvers excluded this command from the grant", None, "left_out")
    if not compiled.commands:
        return Refused("nothing is allowed: the list of commands is empty", None, "empty")
    same = [command for command in compiled.commands if command.plain[0] == argv[0]]
    if not same and (line := transfers.old_protocol(argv)):
        why = f"{clip(argv[0])} uses its own protocol: use sftp instead, as in {clip(line, length=300)[1:-1]}"
        return Refused(why, _any_file(compiled), "program")
    if not same and transfers.is_transfer(argv):
        return Refused(f"no file rule allows {argv[0]} here", _any_file(compiled), "program")
    if not same:
        programs = dict.fromkeys(
            command.plain[0] or "" for command in compiled.commands if isinstance(command.rule, SSHCommand)
        )
        return Refused(
            f"{clip(argv[0])} is not one of the allowed programs: {_some(programs)}", None, "program"
        )
    nearest = max(same, key=lambda command: (_likeness(command, argv), -command.index))
    reason, code, value = _difference(nearest, argv, compiled.bindings)
    return Refused(reason, text_of(nearest.words), code, value)


def _any_file(compiled: CompiledSet) -> str | None:
    files = [command for command in compiled.commands if isinstance(command.rule, FileRule)]
    return text_of(files[0].words) if files else None


def _some(names: Iterable[str]) -> str:
    shown = [clip(name) for name in names]
    return ", ".join(shown[:8]) + (f" and {len(shown) - 8} more" if len(shown) > 8 else "")


def _likeness(command: CompiledSSHCommand, argv: tuple[str, ...]) -> float:
    """Return a score for the matching words, of which earlier ones count more, minus the difference in
    length.
    """
    fits = 0.0
    for position, (plain, word) in enumerate(zip(command.plain, argv, strict=False)):
        spec = command.words[position]
        if word == plain or (plain is None and _word_fault(spec, word, command.types) is None):
            fits += 1 + 1 / (1 + position)
    return fits - 0.5 * abs(len(command.words) - len(argv))


def _word_fault(spec: Word, word: str, types: Mapping[str, ParameterType]) -> str | None:
    try:
        match_word(spec, word, types, {})
    except ValueRefused as error:
        return str(error)
    return None


def _difference(
    command: CompiledSSHCommand, argv: tuple[str, ...], bound: Mapping[str, str]
) -> tuple[str, RefusalCode, str]:
    matched: dict[str, str] = {}
    for written, spec, word in zip(command.template.words, command.words, argv, strict=False):
        try:
            match_word(spec, word, command.types, matched)
        except ValueRefused as error:
            has_value = any(isinstance(piece, Slot) for piece in written)
            reason = _bound_fault(written, word, command, bound) or str(error)
            return reason, "value" if has_value else "word", error.name
    if len(argv) < len(command.words):
        rest = text_of(command.words[len(argv) :])
        return f"the command ends too early: {clip(rest)} is missing", "length", ""
    if fault := _leads_elsewhere(command, matched):
        return fault, "value", ""
    extra = argv[len(command.words)]
    return (
        f"{clip(extra)} is not part of the command: {clip(text_of(command.words))} is complete",
        "length",
        "",
    )


def _bound_fault(
    written: Word, word: str, command: CompiledSSHCommand, bound: Mapping[str, str]
) -> str | None:
    """Explain a word that differs from the grant's value: name that value, and say whether another grant
    could allow the word.
    """
    piece = written[0]
    if len(written) != 1 or not isinstance(piece, Slot) or piece.name not in bound:
        return None
    fault = _word_fault(written, word, command.types)
    allowed = f"{clip(bound[piece.name])} is allowed"
    if fault is None:
        return f"{allowed} in this grant; {clip(word)} needs another grant"
    type_ = command.types[piece.name]
    return f"{allowed}, but {clip(word)} is not {type_.wanted}"


def describe(compiled: CompiledSet) -> list[CommandView]:
    """Return the commands of a grant in document order, with bound values and the values that are free at
    each run.
    """
    return [_view(command) for command in compiled.commands]


def _view(command: CompiledSSHCommand) -> CommandView:
    names = dict.fromkeys(piece.name for word in command.words for piece in word if isinstance(piece, Slot))
    rule = command.rule
    return CommandView(
        index=command.index,
        text=text_of(command.words),
        free=tuple(free_parameter(name, command.types[name]) for name in names),
        effect=rule.effect,
        hold=rule.held,
        finish_seconds=rule.finish_seconds,
        contain=None if isinstance(rule, FileRule) else command.contain,
        as_root=rule.as_root,
        detail=tuple(transfers.said_of(rule, command.words[1], command.digest))
        if isinstance(rule, FileRule)
        else (),
        file=text_of(command.words[1:]) if isinstance(rule, FileRule) else "",
    )


def lines_for(compiled: CompiledSet, index: int, values: Mapping[str, str]) -> Allowed | Refused:
    """Fill the command `index` with a form's values, and decide it like a typed line.

    Refuses an unknown index, a missing or unknown value, and a value outside its type.
    """
    command = next((command for command in compiled.commands if command.index == index), None)
    if command is None:
        return NOT_LISTED
    view = _view(command)
    if refused := values_fault({free.name for free in view.free}, values, view.text):
        return refused
    normal = {}
    for name, value in values.items():
        try:
            normal[name] = command.types[name].normalize(value)
        except ValueRefused as error:
            fault = _word_fault((Slot(name),), value, command.types) or str(error)
            return Refused(fault, view.text, "value", name)
    argv = tuple("".join(map(str, fill(word, normal))) for word in command.words)
    try:
        check_argv(argv)
    except LineRefused as error:
        return Refused(error.reason, view.text, "value")
    return decide_argv(compiled, argv)


def fillable(compiled: CompiledSet) -> frozenset[int]:
    """Return the indices of the commands that a form can run: all except file transfers, which need a
    client.
    """
    return frozenset(command.index for command in compiled.commands if isinstance(command.rule, SSHCommand))


def line_of(compiled: CompiledSet, index: int, values: Mapping[str, str]) -> str | None:
    """Fill the command `index` with a form's values, and return the line as a person would type it, even if
    it is not allowed.

    Returns None if there is no such command or a value is missing. Raises QuoteRefused for a value that can't
    be quoted.
    """
    command = next((command for command in compiled.commands if command.index == index), None)
    if command is None or {free.name for free in _view(command).free} - set(values):
        return None
    return readable("".join(map(str, fill(word, values))) for word in command.words)
