"""Bind a grant's parameters, and check the commands that approvers kept. Shared by all kinds."""

from collections.abc import Collection, Mapping

from sessions_app.policy.commands.answers import CompileError
from sessions_app.policy.commands.document import CommandSetDocument
from sessions_app.policy.commands.parameters import ValueRefused
from sessions_app.policy.documents import Problem


def bind(document: CommandSetDocument, bindings: Mapping[str, str]) -> dict[str, str]:
    """Return the canonical value of each parameter. Raises CompileError for each missing, unknown or refused
    value.
    """
    problems = [
        Problem(f"parameters.{name}", "is not a parameter of this command set: remove it")
        for name in bindings
        if name not in document.parameters
    ]
    bound = {}
    for name, type_ in document.parameters.items():
        try:
            bound[name] = type_.normalize(bindings[name])
        except KeyError:
            problems.append(Problem(f"parameters.{name}", f"is missing: it needs {type_.wanted}"))
        except ValueRefused as error:
            problems.append(Problem(f"parameters.{name}", str(error)))
    if problems:
        raise CompileError(problems)
    return bound


def check_kept(document: CommandSetDocument, keep: Collection[int] | None) -> None:
    """Raise CompileError for an index that the set does not have."""
    unknown = sorted(set(keep or ()) - set(range(len(document.commands))))
    if unknown:
        raise CompileError(
            [Problem("commands", f"has no command {index}: choose one of those listed") for index in unknown]
        )
