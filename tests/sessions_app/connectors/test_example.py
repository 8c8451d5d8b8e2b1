"""A connector that comes as a package of a third party is found, and keeps the contract like any other."""

import sys
import tomllib
from pathlib import Path

import pytest

from sessions_app.connectors import registry
from sessions_app.connectors.base import TargetSpec
from sessions_app.policy.commands.answers import CompiledSet
from sessions_app.policy.scope import TargetFacts
from tests.sessions_app.connectors.contract import *  # noqa: F403  # the contract is these tests
from tests.sessions_app.connectors.contract import Case

EXAMPLE = Path(__file__).parent / "example"


def install(into: Path) -> None:
    """Put the package where Python finds it, with the metadata that `pip install` would write."""
    project = tomllib.loads((EXAMPLE / "pyproject.toml").read_text())["project"]
    metadata = into / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text(f"Name: {project['name']}\nVersion: {project['version']}\n")
    groups = project["entry-points"].items()
    (metadata / "entry_points.txt").write_text(
        "".join(
            f"[{group}]\n" + "".join(f"{k} = {v}\n" for k, v in points.items()) for group, points in groups
        )
    )
    (into / "stint_folder.py").write_text((EXAMPLE / "stint_folder.py").read_text())


@pytest.fixture
def installed(tmp_path, monkeypatch):
    packages = tmp_path / "packages"
    packages.mkdir()
    install(packages)
    monkeypatch.syspath_prepend(packages)
    registry._from_packages.cache_clear()
    yield
    registry._from_packages.cache_clear()
    sys.modules.pop("stint_folder", None)


@pytest.fixture
def case(installed, tmp_path):
    folder = tmp_path / "folder"
    folder.mkdir()
    type_ = registry.type_of("folder")
    target = TargetFacts(id=1, name="folder-1", address="192.0.2.1", port=1, account="", host_key="")

    def at(where: Path) -> TargetSpec:
        return TargetSpec(cluster="folders", target=target, parameters=type_.parameters(folder=str(where)))

    def leave(lease) -> None:
        (folder / f"stint-{lease.mark}.new").write_text("{")

    def foreign():
        (folder / "somebody-else.json").write_text("theirs")
        return lambda: (folder / "somebody-else.json").read_text() == "theirs"

    nowhere = at(tmp_path / "nowhere")
    return Case(
        type_.make(), at(folder), nowhere, nowhere, CompiledSet("ssh", "nothing", {}, ()), leave, foreign
    )


def test_an_installed_package_serves_its_kind(installed):
    assert registry.types()["folder"].title == "Folder"


def test_a_package_that_names_something_else_is_told_to(tmp_path, monkeypatch):
    install(tmp_path)
    (tmp_path / "stint_folder.py").write_text("TYPE = 'nothing of use'\n")
    monkeypatch.syspath_prepend(tmp_path)
    registry._from_packages.cache_clear()
    try:
        with pytest.raises(TypeError, match="is not a ConnectorType"):
            registry.types()
    finally:
        registry._from_packages.cache_clear()
        sys.modules.pop("stint_folder", None)
