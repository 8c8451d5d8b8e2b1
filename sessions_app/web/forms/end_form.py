"""The content of the form that ends a grant."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from sessions_app.models import CommandRun, Grant, GrantState, Observed, RunState
from sessions_app.policy.durations import say_duration
from sessions_app.queries.grants.end_preview import Ending
from sessions_app.queries.grants.observing import observed_under

MOST = 5


class Affected(NamedTuple):
    """Commands that the end of a grant affects: a title, the first few commands, each with what it waits
    for, and the number of further commands.
    """

    title: str
    runs: Sequence[tuple[CommandRun, str]]
    more: int


@dataclass(frozen=True, slots=True)
class EndForm:
    """The form that ends one grant, or terminates commands that are still running under it."""

    grant: Grant
    ending: Ending

    @property
    def cutting(self) -> bool:
        """Whether the grant is already ending, so that only running commands can be terminated."""
        return self.grant.state == GrantState.REVOKING

    @property
    def affected(self) -> list[Affected]:
        """The commands that are terminated, and those that may finish."""
        cut, finish = self.ending.cut, self.ending.finish
        longest = say_duration(self.ending.seconds)
        found = []
        if cut:
            verb = "command is" if len(cut) == 1 else "commands are"
            found.append(_affected(f"{len(cut)} {verb} terminated immediately:", cut))
        if finish:
            noun = "command" if len(finish) == 1 else "commands"
            found.append(_affected(f"{len(finish)} {noun} may finish, for up to {longest}:", finish))
        return found

    @property
    def spares(self) -> bool:
        """Whether some commands may finish unless they are also terminated."""
        return bool(self.ending.finish) and not self.cutting

    @property
    def says(self) -> str:
        """The other effects of the end, as sentences."""
        said = []
        if not self.ending.cut and not self.ending.finish:
            seen = observed_under(self.grant) == Observed.ALL
            running = "Anything running on its targets is terminated immediately."
            said.append("Nothing is running." if seen else running)
        cut = "Commands on all targets are terminated immediately."
        said.append(cut if self.cutting else "Nothing new can start.")
        many = self.ending.below
        if many:
            said.append(f"{many} delegated grant{' ends' if many == 1 else 's end'} with it.")
        return " ".join(said)


def _affected(title: str, runs: Sequence[CommandRun]) -> Affected:
    waits = ", waiting for a second person"
    shown = [(run, waits if run.state == RunState.HELD else "") for run in runs[:MOST]]
    return Affected(title, shown, max(0, len(runs) - MOST))
