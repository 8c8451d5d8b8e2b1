"""Every guide is followed, block by block, by the people it is for: its files are applied, and its commands are run."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.environment import ROOT
from tests.support.servers.guide_site import GuideSite, guide_site
from tests.support.world.guide_reader import Reader
from tests.support.world.guides import fences, guides

pytestmark = pytest.mark.guides

GROUPS = {"operators": "priya", "service-owners": "jonas", "security": "mara", "agents": "scribe"}


@pytest.fixture(scope="module")
def site(django_db_setup) -> Iterator[GuideSite]:
    with guide_site() as running:
        yield running


def follow(name: str, site: GuideSite, work: Path) -> None:
    """Do all that a guide says, in an empty folder, with no more in the catalogue than people's groups; at the end its files
    are applied.
    """
    for name_of_ours in ("manage.py", "broker"):
        (work / name_of_ours).symlink_to(ROOT / name_of_ours)
    reader = Reader(site, work)
    (work / "catalogue" / "groups").mkdir(parents=True)
    for group, member in GROUPS.items():
        path = work / "catalogue" / "groups" / f"{group}.yaml"
        path.write_text(f"name: {group}\nmembers: [{member}]\n", encoding="utf-8")
    blocks = fences(name)
    has_files = any(fence.file for fence in blocks)
    if has_files:
        reader.apply("--prune")
    for fence in blocks:
        # What is on another machine than Stint's is followed there, in test_stint_is_installed_as_the_guide_says.py.
        if "on" not in fence.options:
            reader.follow(fence)
    reader.plan_variants()
    if has_files:
        reader.apply()


@pytest.mark.parametrize("name", guides())
def test_a_guide_does_what_it_says(name, site, tmp_path):
    follow(name, site, tmp_path)
