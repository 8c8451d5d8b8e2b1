"""Every guide is followed, block by block, by the people it is for: its files are applied, and its commands
are run.
"""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.environment import ROOT
from tests.support.servers.guide_site import GuideSite, guide_site
from tests.support.world.guide_reader import Reader
from tests.support.world.guides import builds_on, fences, guides

pytestmark = pytest.mark.guides


# Links to what every folder has, and plans that are made in each.
_OF_ITS_OWN = shutil.ignore_patterns("manage.py", "broker", "variants")


@dataclass
class Library:
    """The guides that were followed on one Stint that had nobody and nothing in it, each with its folder."""

    site: GuideSite
    folder: Path
    done: dict[str, Path] = field(default_factory=dict)

    def follow(self, name: str) -> Path:
        """Do all that a guide says, in an empty folder with no more than what the guides that it builds on
        left in theirs.
        """
        if name in self.done:
            return self.done[name]
        work = self.folder / name
        for base in builds_on(name):
            shutil.copytree(self.follow(base), work, dirs_exist_ok=True, ignore=_OF_ITS_OWN)
        work.mkdir(exist_ok=True)
        for name_of_ours in ("manage.py", "broker"):
            (work / name_of_ours).symlink_to(ROOT / name_of_ours)
        reader = Reader(self.site, work)
        if builds_on(name):
            # What other guides left is not there for this one.
            reader.apply("--prune")
        for fence in fences(name):
            # What is on another machine than Stint's is followed there, in
            # test_stint_is_installed_as_the_guide_says.py.
            if "on" not in fence.options:
                reader.follow(fence)
        reader.plan_variants()
        if any(fence.file for fence in fences(name)):
            reader.apply()
        self.done[name] = work
        return work


@pytest.fixture(scope="module")
def library(django_db_setup, tmp_path_factory) -> Iterator[Library]:
    with guide_site() as site:
        yield Library(site, tmp_path_factory.mktemp("guides"))


@pytest.mark.parametrize("name", guides())
def test_a_guide_does_what_it_says(name, library):
    library.follow(name)
