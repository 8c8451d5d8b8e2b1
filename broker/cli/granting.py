"""Find or request the grant that a command needs."""

from __future__ import annotations

import contextlib
import re
import shlex
import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from . import remaining, screen, served, waiting, wording
from .errors import CliError, Exit, NoGrant, Usage
from .shell import Shell

Row = Mapping[str, Any]
USUAL = 3600
_STOPS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_USABLE = ("active", "provisioning")


@dataclass(frozen=True, slots=True, kw_only=True)
class Want:
    """The access that a command needs. ``kinds``: kinds of cluster, empty for any. ``line``: the command to
    allow.

    ``seconds``: the duration of the grant; None for the default. ``wait``: seconds to wait for a decision;
    None for no limit.
    """

    kinds: Sequence[str] = ()
    cluster: str | None = None
    target: str | None = None
    line: str | None = None
    command_set: str | None = None
    grant: str | None = None
    seconds: int | None = None
    reason: str = ""
    ticket: str = ""
    workflow: str | None = None
    kind: str = ""
    parameters: Mapping[str, str] = field(default_factory=dict)
    wait: float | None = None


def a_grant(shell: Shell, want: Want, *, made: Callable[[Row], None] | None = None) -> Row:
    """Return a usable grant. If there is none, request one, call ``made`` with the new request, and wait.

    Raises CliError if there is nothing to request, and NoGrant if the wait ends without a grant.
    """
    grant = served.grant(_usable(shell, want, made))
    remaining.note(shell, grant)
    return grant


def _usable(shell: Shell, want: Want, made: Callable[[Row], None] | None) -> Row:
    if want.grant:
        return waiting.wait_until_usable(shell, ref_of(want.grant), seconds=want.wait)
    found = held(shell, want)
    if found is not None:
        return waiting.wait_until_usable(shell, str(found["ref"]), seconds=want.wait)
    return waiting.wait_for_grant(shell, _asked(shell, want, made), seconds=want.wait)


def ref_of(text: str) -> str:
    """Return a reference in its canonical form: GR-7F3K for `gr-7f3k`. Raises Usage if the text is not a
    reference.
    """
    ref = text.strip().upper()
    if not re.fullmatch(f"{served.GRANT}|{served.REQUEST}", ref):
        raise Usage(
            f"{text[:60]!r} is not a reference.",
            "Use the reference of a grant, like GR-7F3K, or of a request, like REQ-12.",
        )
    return ref


# Existing grants


def held(shell: Shell, want: Want) -> Row | None:
    """Of the caller's matching grants, return the one that lasts longest, or None."""
    kinds = {row["name"]: row["kind"] for row in shell.wire.pages("/clusters")} if want.kinds else {}
    found = [
        row
        for state in _USABLE
        for row in shell.wire.pages("/grants", mine=True, state=state, cluster=want.cluster)
        if _fits(row, want, kinds)
    ]
    for row in sorted(found, key=lambda one: str(one["expires_at"]), reverse=True):
        if want.line is None or allows(shell, row, want.line):
            return row
    return None


def _fits(grant: Row, want: Want, kinds: Mapping[str, str]) -> bool:
    return (
        grant["held_at"] is None
        and (not want.kinds or kinds.get(grant["cluster"]) in want.kinds)
        and (want.target is None or want.target in grant["targets"])
        and want.command_set in (None, grant["command_set"]["name"])
        and all(grant["parameters"].get(name) == value for name, value in want.parameters.items())
        and want.workflow in (None, grant["workflow"])
    )


def allows(shell: Shell, grant: Row, line: str) -> bool:
    """Whether the grant's gateway would allow a command."""
    sent = {"line": line, "parameters": grant["parameters"], "version": grant["command_set"]["version"]}
    tried = shell.wire.post(f"/command-sets/{grant['command_set']['name']}/try", sent)
    if tried["verdict"] == "refused":
        return False
    # Approvers may have removed commands of the set.
    left = shell.wire.get(f"/grants/{grant['ref']}")["commands"]
    return tried["index"] in {command["index"] for command in left}


# New requests


def _asked(shell: Shell, want: Want, made: Callable[[Row], None] | None) -> Row:
    """Return a pending request for this access, or submit a new one."""
    offer = _offer(shell, want)
    body = _body(shell, want, offer)
    waits = _waiting(shell, body)
    if waits is not None:
        shell.note(f"{waits['ref']} already requests this and is pending.")
        return waits
    preview = shell.wire.post("/requests/preview", body)
    refuse_if_refused(preview)
    outcome = "" if preview["outcome"] == "starts" else f", which needs {wording.missing(preview['needed'])}"
    about = (
        f"{wording.set_name(preview)} on {screen.plain(preview['cluster'])}"
        f" ({screen.plain(', '.join(preview['targets']))})"
    )
    shell.note(f"Requesting {about} for {screen.span(body['duration'])}{outcome}.")
    if made is None:
        row: Row = shell.wire.post("/requests", body)
        return row
    with _undisturbed():
        row = shell.wire.post("/requests", body)
        made(row)
    return row


@contextlib.contextmanager
def _undisturbed() -> Iterator[None]:
    """Block signals, so that every submitted request is noted here."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _STOPS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def refuse_if_refused(preview: Row) -> None:
    """Raise CliError with the failed rules if the policy would deny the request."""
    if preview["outcome"] == "refused":
        raise CliError(
            "The policy denies this request.",
            wording.refusals(preview["rules"]),
            code="refused",
            rules=preview["rules"],
        )


def _offer(shell: Shell, want: Want) -> Row:
    found = _offers(shell, want, want.line)
    if not found:
        raise _nothing(shell, want)
    if want.line is not None:
        # Each offer allows the command. Prefer those that need the fewest approvals, because they are
        # available the soonest.
        found = [row for row in found if row["approvals"] == found[0]["approvals"]]
    listed = [
        f"{row['command_set']} on {row['cluster']}: {screen.plain(row['summary'])},"
        f" {_approvals(row['approvals'])}"
        for row in found
    ]
    return found[shell.choose("Which command set?", listed, give="--cluster and --set")]


def _approvals(count: int) -> str:
    return f"{count or 'no'} approval{'' if count == 1 else 's'}"


def _offers(shell: Shell, want: Want, line: str | None) -> list[Row]:
    sent = {"cluster": want.cluster, "target": want.target, "line": line}
    found: list[Row] = shell.wire.post("/requests/offers", sent)["results"]
    return [
        row
        for row in found
        if (not want.kinds or row["kind"] in want.kinds)
        and want.command_set in (None, row["command_set"])
        and all(row["parameters"].get(name, value) == value for name, value in want.parameters.items())
    ]


def no_grant(shell: Shell, want: Want) -> CliError:
    """Return the error for access that can be requested, but not here, with the commands that request it."""
    offers = _offers(shell, want, want.line)
    if not offers:
        return _nothing(shell, want)
    lines = [f"  {request_line(row, want)}" for row in offers[:3]]
    return NoGrant(
        f"You have no grant for {want.target or want.cluster}.", "\n".join(["Request one:", *lines])
    )


def request_line(offer: Row, want: Want) -> str:
    """Return the command that requests an offered access. People replace the words in capitals."""
    words = ["stint", "request", str(offer["cluster"]), str(offer["command_set"])]
    words += ["--target", want.target] if want.target else []
    given = [f"{name}={value}" for name, value in offer["parameters"].items()]
    for pair in [*given, *(f"{free['name']}=VALUE" for free in offer["missing"])]:
        words += ["-p", pair]
    return screen.plain(shlex.join([*words, "-m", "REASON", "--yes", "--wait"]))


def _nothing(shell: Shell, want: Want) -> CliError:
    """Return the error for access that can't be requested, with the closest matches."""
    place = want.target or want.cluster or "any cluster"
    near = _offers(shell, want, None) if want.line is not None else []
    if not near:
        return CliError(
            f"You have no grant for {place} and can't request one.",
            "Run `stint offers` to list the access you can request.",
            status=Exit.NOT_FOUND,
            code="nothing_to_ask_for",
        )
    said = [_nearest(shell, row, str(want.line)) for row in near[:3]]
    return CliError(
        f"None of the access that you can request on {place} allows this command.",
        "\n".join(said),
        code="not_allowed",
    )


def _nearest(shell: Shell, offer: Row, line: str) -> str:
    tried = shell.wire.post(f"/command-sets/{offer['command_set']}/try", {"line": line})
    nearest = f" Nearest: {tried['nearest']}" if tried["nearest"] else ""
    return screen.plain(f"{offer['command_set']}: {tried['reason']}{nearest}")


def _body(shell: Shell, want: Want, offer: Row) -> dict[str, Any]:
    given = {**offer["parameters"], **want.parameters}
    for free in offer["missing"]:
        if free["name"] not in given:
            given[free["name"]] = _parameter(shell, free)
    reason = want.reason
    if not reason and offer["reason_required"] and not want.workflow:
        reason = shell.ask("Reason", needs="A reason", give="--reason")
    return body_of(
        cluster=offer["cluster"],
        command_set=offer["command_set"],
        duration=want.seconds or min(USUAL, offer["longest"]),
        reason=reason,
        ticket=want.ticket,
        parameters=given,
        targets=[want.target] if want.target else None,
        workflow=want.workflow,
        kind=want.kind,
    )


def _parameter(shell: Shell, free: Row) -> str:
    name, choices = str(free["name"]), list(free["choices"])
    if choices:
        return str(choices[shell.choose(f"Which {name}?", choices, give=f"--param {name}=…")])
    return shell.ask(
        f"{name} ({screen.plain(free['limits'])})", needs=f"A value for {name}", give=f"--param {name}=…"
    )


def body_of(*, kind: str, workflow: str | None, **asked: Any) -> dict[str, Any]:
    """Return the body of a request. Its kind defaults to `incident` for an incident, otherwise to
    `planned`.
    """
    usual = "incident" if workflow and workflow.startswith("INC-") else "planned"
    return {**asked, "kind": kind or usual, "workflow": workflow}


def _waiting(shell: Shell, body: Row) -> Row | None:
    """Return the caller's pending request for the same access, if there is one."""
    for row in shell.wire.pages("/requests", mine=True, state="pending", cluster=body["cluster"]):
        same = row["command_set"]["name"] == body["command_set"] and row["parameters"] == body["parameters"]
        if same and row["workflow"] == body["workflow"] and row["kind"] == body["kind"]:
            detail: Row = shell.wire.get(f"/requests/{row['ref']}")
            if body["targets"] is None or set(body["targets"]) <= set(detail["targets"]):
                return detail
    return None


def line_of(words: Sequence[str]) -> str | None:
    """Return the command line for Stint: a single word is unchanged, as in ssh; several words are quoted."""
    if not words:
        return None
    return words[0] if len(words) == 1 else shlex.join(words)
