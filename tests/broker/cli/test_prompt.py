"""The time left in the prompt, by the real shells, from the file that commands keep."""

import datetime as dt
import subprocess

import pytest

from broker.cli import remaining
from broker.cli.commands.prompt import script
from broker.cli.shell import Shell

SHOW = {
    "bash": '. ./code; false; __stint_prompt; echo "$? $STINT_PROMPT" | tr -d "\\001\\002"',
    "zsh": '. ./code; false; __stint_prompt; print -P "$? $STINT_PROMPT"',
    "fish": "function fish_prompt; echo -n $status; end; source ./code; source ./code; false; fish_prompt",
}


@pytest.fixture
def shell(tmp_path):
    """The context of a command, on a machine of its own."""
    return Shell({"HOME": str(tmp_path), "STINT_URL": "https://stint.example", "STINT_TOKEN": "x"})


def grant(ref: str, minutes: float, state: str = "active") -> dict[str, str]:
    """A grant that ends in this many minutes, as the API sends it."""
    ends = dt.datetime.now(dt.UTC) + dt.timedelta(minutes=minutes)
    return {"ref": ref, "state": state, "expires_at": ends.isoformat()}


def refs(shell) -> list[str]:
    return [line.split()[1] for line in remaining.path(shell.env).read_text().splitlines()]


def test_the_file_has_the_usable_grants_of_each_server_with_the_earliest_end_first(shell):
    other = Shell({**shell.env, "STINT_URL": "https://other.example"})
    remaining.note(other, grant("GR-OTHER", 5))
    remaining.note(shell, grant("GR-7F3K", 60))
    remaining.note(shell, grant("GR-8A2C", 10))
    assert refs(shell) == ["GR-OTHER", "GR-8A2C", "GR-7F3K"]
    remaining.note(shell, grant("GR-8A2C", 10, "revoking"))
    assert refs(shell) == ["GR-OTHER", "GR-7F3K"]
    remaining.note_all(shell, [grant("GR-9X9X", 1), grant("GR-$(id)", 1)])
    assert refs(shell) == ["GR-9X9X", "GR-OTHER"]
    remaining.drop(shell, "GR-9X9X")
    assert refs(shell) == ["GR-OTHER"]


@pytest.mark.processes
@pytest.mark.parametrize("name", list(SHOW))
@pytest.mark.parametrize(
    ("minutes", "shown", "yellow"),
    [
        ((), "", False),
        ((-1,), "", False),
        ((42,), "GR-AAA0 42 min ", False),
        ((3, 90), "GR-AAA0 3 min +1", True),
        ((120,), "GR-AAA0 2 h ", False),
        ((62, 70), "GR-AAA0 1 h 2 min +1 ", False),
    ],
)
def test_real_shells_show_the_time_left_and_keep_the_exit_status(
    shell, tmp_path, name, minutes, shown, yellow
):
    for number, left in enumerate(minutes):
        remaining.note(shell, grant(f"GR-AAA{number}", left))
    (tmp_path / "code").write_text(script(name, str(remaining.path(shell.env))))
    done = subprocess.run(
        [name, "-c", SHOW[name]],
        cwd=tmp_path,
        env={"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "TERM": "xterm"},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.stderr == ""
    assert done.stdout.strip().endswith("1") if name == "fish" else done.stdout.startswith("1 ")
    assert shown in done.stdout
    assert ("GR-" in done.stdout) == bool(shown)
    assert ("\x1b[33m" in done.stdout) == yellow
