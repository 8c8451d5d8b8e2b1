"""Completion, sourced by the real shells, and the command as it is installed."""

import os
import subprocess
import sys
import tomllib

import pytest

from tests.environment import ROOT

ASK = {
    "bash": (
        'eval "$(stint completion bash)"\nCOMP_WORDS=(stint {words}); COMP_CWORD={last}; _stint_completion'
        ' stint; printf "%s\\n" "${{COMPREPLY[@]}}"'
    ),
    "zsh": (
        'autoload -Uz compinit; compinit -u -D\neval "$(stint completion zsh)"\ncompadd() {{ print -rl --'
        " $completions; }}; _describe() {{ print -rl -- $completions_with_descriptions; }}\nwords=(stint"
        " {words}); CURRENT={count}; compset() {{ return 1 }}; _stint_completion"
    ),
    "fish": 'stint completion fish | source\ncomplete -C "stint {line}"',
}


@pytest.fixture
def stint_on_path(laptops):
    """Alice's machine, with `stint` on its PATH."""
    alice = laptops["alice"]
    folder = alice.home / "bin"
    folder.mkdir(exist_ok=True)
    program = folder / "stint"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m broker.cli "$@"\n')
    program.chmod(0o755)
    return alice, {**alice.environment, "PATH": f"{folder}:{os.environ['PATH']}"}


@pytest.mark.parametrize("shell", list(ASK))
def test_real_shells_complete_commands_and_names(stint_on_path, shell):
    alice, env = stint_on_path

    def completed(*words: str) -> str:
        script = ASK[shell].format(
            words=" ".join(f'"{word}"' for word in words),
            last=len(words),
            count=len(words) + 1,
            line=" ".join(words),
        )
        done = subprocess.run(
            [shell, "-c", script],
            env=env,
            cwd=alice.home,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert "kubectl-config" in completed("ku")
    assert "restart-web" in completed("request", "web", "re")
    assert "web-1" in completed("ssh", "we")


def test_completion_says_nothing_when_stint_is_silent(stint_on_path):
    _, env = stint_on_path
    asked = {**env, "STINT_URL": "http://127.0.0.1:9", "_STINT_COMPLETE": "bash_complete"}
    done = subprocess.run(
        ["stint"],
        env={**asked, "COMP_WORDS": "stint ssh w", "COMP_CWORD": "2"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.stdout.strip(), done.stderr) == ("", "")


@pytest.mark.processes
def test_it_is_installed_by_pip_with_a_handful_of_packages(tmp_path):
    """From what is in version control, as from a clean clone; into an environment that has nothing else."""
    clone = tmp_path / "clone"
    files = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    for name in files.stdout.splitlines():
        if name.startswith("broker/cli/") or "/" not in name:
            (clone / name).parent.mkdir(parents=True, exist_ok=True)
            if (ROOT / name).is_file() and not (ROOT / name).is_symlink():
                (clone / name).write_bytes((ROOT / name).read_bytes())
    subprocess.run([sys.executable, "-m", "venv", str(tmp_path / "venv")], check=True)
    bin_ = tmp_path / "venv" / "bin"
    made = subprocess.run(
        [bin_ / "pip", "install", "-q", "."], cwd=clone, capture_output=True, text=True, check=False
    )
    assert made.returncode == 0, made.stderr
    help_ = subprocess.run(
        [bin_ / "stint", "--help"], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert "Just-in-time privileged access, from the terminal." in help_.stdout
    refused = subprocess.run(
        [bin_ / "stint", "grants"],
        cwd=tmp_path,
        env={"HOME": str(tmp_path)},
        check=False,
        capture_output=True,
    )
    assert refused.returncode == 3
    listed = subprocess.run(
        [bin_ / "pip", "list", "--format=freeze"], capture_output=True, text=True, check=True
    )
    names = {line.split("==")[0].lower() for line in listed.stdout.splitlines()} - {
        "pip",
        "setuptools",
        "wheel",
    }
    assert names == {"stint", "click", "urllib3", "truststore"}


def test_versions_are_one():
    from broker.cli import __version__

    assert tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"] == __version__
