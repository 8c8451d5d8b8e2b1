"""Text output of requests, grants and runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from . import screen
from .screen import ago, clock_time, plain, span, word

Row = Mapping[str, Any]
Columns = Mapping[str, Callable[[Any], str]]
VERDICTS = {"approve": "approved", "deny": "denied"}


def set_name(row: Row) -> str:
    """Return the command set of a request or grant, with its version."""
    return plain(f"{row['command_set']['name']} v{row['command_set']['version']}")


def _end_of(grant: Row) -> str:
    if grant["state"] == "ended":
        return f"{clock_time(grant['ended_at'])}, {word(grant['end_reason'])}"
    return f"{clock_time(grant['expires_at'])}, {ago(grant['expires_at'])}"


REQUESTS: Columns = {
    "REF": lambda row: plain(row["ref"]),
    "STATE": lambda row: word(row["state"]),
    "WHO": lambda row: plain(row["requester"]),
    "WHAT": set_name,
    "CLUSTER": lambda row: plain(row["cluster"]),
    "FOR": lambda row: span(row["duration_left"]),
    "REQUESTED": lambda row: ago(row["created_at"]),
    "REASON": lambda row: plain(row["reason"]),
}
GRANTS: Columns = {
    "REF": lambda row: plain(row["ref"]),
    "STATE": lambda row: word("suspended" if row["held_at"] and row["state"] == "active" else row["state"]),
    "HOLDER": lambda row: plain(row["holder"]),
    "WHAT": set_name,
    "CLUSTER": lambda row: plain(row["cluster"]),
    "TARGETS": lambda row: plain(", ".join(row["targets"])),
    "ENDS": _end_of,
}
RUNS: Columns = {
    "RUN": lambda row: str(row["id"]),
    "AT": lambda row: clock_time(row["tried_at"]),
    "TARGET": lambda row: plain(row["target"]),
    "STATE": lambda row: word(row["state"]),
    "EXIT": lambda row: "" if row["exit_status"] is None else str(row["exit_status"]),
    "COMMAND": lambda row: plain(row["line"]),
}
# The meaning of an empty list of runs, which depends on how much of the activity on the cluster Stint
# observes.
NO_RUN = {
    "all": "Nothing was run.",
    "some": "Nothing was observed, but Stint does not observe all activity on this cluster.",
    "nothing": "Stint does not observe activity on this cluster.",
}
NONE_SEEN = {
    "all": "nothing",
    "some": "nothing was observed, but Stint does not observe all activity on this cluster",
    "nothing": "not observed",
}
HELD: Columns = {
    "RUN": lambda row: str(row["id"]),
    "GRANT": lambda row: plain(row["grant"]),
    "WHO": lambda row: plain(row["holder"]),
    "TARGET": lambda row: plain(row["target"]),
    "EXPIRES": lambda row: clock_time(row["hold_lapses_at"]),
    "COMMAND": lambda row: plain(row["line"]),
}
OFFERS: Columns = {
    "CLUSTER": lambda row: plain(row["cluster"]),
    "KIND": lambda row: plain(row["kind"]),
    "SET": lambda row: plain(row["command_set"]),
    "APPROVALS": lambda row: str(row["approvals"] or "none"),
    "UP TO": lambda row: span(row["longest"]),
    "SUMMARY": lambda row: plain(row["summary"]),
}


def held_file(row: Row) -> str:
    """Return what an upload that waits for approval contains."""
    about = f"{screen.plain(row['path'])}, {row['size']} bytes\nSHA-256 {screen.plain(row['sha256'])}"
    if row["text"] is None:
        return f"{about}\nOnly text of at most 64 KB can be shown, without invisible characters."
    return f"{about}\n\n{screen.plain_output(row['text'])}"


def held_commit(row: Row) -> str:
    """Return the statements of a held transaction, with their rows before and after."""
    return "\n\n".join("\n".join(_held_statement(one)) for one in row["statements"])


def _held_statement(one: Row) -> Iterator[str]:
    rows = "1 row" if one["touched"] == 1 else f"{one['touched']} rows"
    yield plain(one["line"])
    yield f"{rows} changed, not committed yet. The rows stay locked until the decision."
    for row in one["rows"]:
        yield "  " + ", ".join(_held_cell(cell) for cell in row)
    if one["touched"] > len(one["rows"]):
        yield f"  {one['touched'] - len(one['rows'])} more, not shown."
    yield from map(plain, one["notes"])
    yield from (f"  {plain(line)}" for line in one["plan"].splitlines())


def _held_cell(cell: Row) -> str:
    before, after = ("NULL" if cell[at] is None else cell[at] for at in ("before", "after"))
    values = {
        "same": after,
        "changed": f"{before} → {after}",
        "added": f"+ {after}",
        "removed": f"- {before}",
    }
    return f"{plain(cell['column'])}: {plain(values[cell['state']])}"


def held_line(row: Row) -> str:
    """Return one held command in full, with its run, holder and target."""
    return plain(f"{row['id']}  {row['holder']} ({row['grant']}) on {row['target']}: {row['line']}")


def hold_outcome(row: Row) -> str:
    """Return whether one held command was decided, and why not."""
    why = f": {row['message']}" if row["message"] else "."
    return plain(f"Run {row['run']}: {row['outcome'].replace('_', ' ')}{why}")


def read_before(row: Row) -> str:
    """Return what was read before a held command, newest first."""
    if not row["results"]:
        return "Nothing was read before."
    more = [f"  and {row['more']} more"] if row["more"] else []
    return "\n".join(["Read before:", *map(_earlier, row["results"]), *more])


def _earlier(one: Row) -> str:
    size = f"{one['size']} bytes" if one["rows"] is None else f"{one['rows']} rows"
    marks = ["can contain text from outsiders"] if one["untrusted"] else []
    marks += [f"{source['argument']} is its {source['field']}" for source in one["sources"]]
    said = "".join(f", {mark}" for mark in marks)
    return plain(f"  {clock_time(one['at'])}  run {one['run']}  {one['line']}  ({size}{said})")


def commands(found: Sequence[Row]) -> str:
    """Return the commands of a request or grant, one per line."""
    return "\n".join(_command(one) for one in found)


def _command(one: Row) -> str:
    marks = [plain(one["effect"])] if one["effect"] != "read" else []
    if one["as_root"]:
        marks.append("as root")
    if one["hold"]:
        marks.append("each run needs approval")
    if one["finish_seconds"]:
        marks.append(f"may finish for {span(one['finish_seconds'])}")
    return plain(one["text"]) + (f"  ({', '.join(marks)})" if marks else "")


def parameters(values: Mapping[str, Any]) -> str:
    """Return `unit=nginx, lines=5`."""
    return plain(", ".join(f"{name}={value}" for name, value in values.items()))


def request(row: Row, *, err: bool = False) -> None:
    """Print a request with everything that its approvers need."""
    pairs = {
        "Request": f"{plain(row['ref'])}  {word(row['state'])}",
        "Who": plain(row["requester"]),
        "What": f"{set_name(row)} on {plain(row['cluster'])}",
        "Targets": plain(", ".join(row["targets_left"])),
        "With": parameters(row["parameters"]),
        "When": (
            f"{clock_time(row['starts_at']) if row['starts_at'] else 'on approval'}, for"
            f" {span(row['duration_left'])}"
        ),
        "Kind": "" if row["kind"] == "planned" else word(row["kind"]),
        "Extends": plain(row["extends"] or ""),
        "Workflow": plain(row["workflow"] or ""),
        "Reason": plain(row["reason"]),
        "Ticket": plain(row["ticket"]),
        "Commands": commands([one for one in row["commands"] if one["index"] in row["commands_left"]]),
        "Removed": _left_out(row),
        "Accepted": "\n".join(f"{plain(one['message'])}: {plain(one['reason'])}" for one in row["accepted"]),
        "Decisions": "\n".join(_verdict(one) for one in row["approvals"]),
        "Needs": missing(row["needed"]) if row["state"] == "pending" else "",
        "Expires": clock_time(row["lapses_at"]) if row["state"] == "pending" else "",
        "Grant": plain(row["grant"] or ""),
    }
    screen.facts(pairs, err=err)


def _left_out(row: Row) -> str:
    """Return what approvers removed from the request, one item per line."""
    found = (
        [f"{span(row['duration'] - row['duration_left'])} of {span(row['duration'])}"]
        if row["duration_left"] != row["duration"]
        else []
    )
    found += [one["text"] for one in row["commands"] if one["index"] not in row["commands_left"]]
    found += [f"target {name}" for name in row["targets"] if name not in row["targets_left"]]
    return "\n".join(map(plain, found))


def _verdict(one: Row) -> str:
    less = ", reduced" if one["narrowing"] else ""
    comment = f": {plain(one['comment'])}" if one["comment"] else ""
    void = " (void)" if one["voided_at"] else ""
    return (
        f"{plain(one['approver'])}"
        f" {VERDICTS.get(one['verdict']) or word(one['verdict'])}{less}{void}{comment}"
    )


def missing(needed: Sequence[Row]) -> str:
    """Return `1 approval by bob or dora (approvers)`."""
    said = []
    for clause in needed:
        if clause["missing"]:
            people = " or ".join(clause["approvers"][:6]) or "no one"
            many = "approval" if clause["missing"] == 1 else "approvals"
            said.append(plain(f"{clause['missing']} {many} by {people} ({', '.join(clause['groups'])})"))
    return ", and ".join(said)


def _suspended_by(row: Row) -> str:
    if not row["held_by"]:
        return "after too many refused commands"
    note = f" ({plain(row['held_note'])})" if row["held_note"] else ""
    return f"by {plain(row['held_by'])}{note}"


def grant(row: Row, *, err: bool = False) -> None:
    """Print a grant with what it allows and how to use it."""
    pairs = {
        "Grant": f"{plain(row['ref'])}  {word(row['state'])}",
        "Holder": plain(row["holder"]),
        "What": f"{set_name(row)} on {plain(row['cluster'])}",
        "Targets": plain(", ".join(row["targets"])),
        "With": parameters(row["parameters"]),
        "Workflow": plain(row["workflow"] or ""),
        "Time": (
            f"{clock_time(row['starts_at'])} to {clock_time(row['expires_at'])} ({ago(row['expires_at'])})"
        ),
        "Suspended": (
            f"since {clock_time(row['held_at'])} {_suspended_by(row)}. Nothing new runs until it is resumed."
            if row["held_at"]
            else ""
        ),
        "Ended": f"{clock_time(row['ended_at'])}, {word(row['end_reason'])}" if row["ended_at"] else "",
        "Note": plain(row["end_note"]),
        "Error": plain(row["last_error"]),
        "Commands": commands(row["commands"]),
        "Connect": "\n".join(plain(line) for line in row["connect"]) if row["state"] == "active" else "",
        "Request": plain(row["request"]),
    }
    screen.facts(pairs, err=err)


def preview(row: Row, *, err: bool = False) -> None:
    """Print the preview of a request: its outcome, its scope and the approvals that it needs."""
    outcome = {
        "starts": "Starts without approval.",
        "needs_approval": f"Needs {missing(row['needed'])}.",
        "refused": "Denied by the policy.",
    }
    pairs = {
        "Outcome": screen.colored(row["outcome"], outcome.get(row["outcome"], plain(row["outcome"]))),
        "What": f"{set_name(row)} on {plain(row['cluster'])}",
        "Targets": plain(", ".join(row["targets"])),
        "Time": f"{clock_time(row['starts_at'])} to {clock_time(row['ends_at'])}",
        "Commands": commands(row["commands"]),
        "Policy": plain(row["policy"]),
        "Rules": refusals(row["rules"]),
        "Overlaps": plain(", ".join(f"{one['holder']} ({one['ref']})" for one in row["overlaps"])),
        "You have": f"this access already, as {plain(row['already'])}" if row["already"] else "",
    }
    screen.facts(pairs, err=err)


def refusals(rules: Sequence[Row]) -> str:
    """Return the failed rules with their fixes, one per line."""
    said = [rule for rule in rules if not rule["permitted"]]
    return "\n".join(plain(f"{rule['message']} {rule['fix']}".strip()) for rule in said)
