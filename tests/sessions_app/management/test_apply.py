"""`apply` as an administrator runs it: which files it reads, and what it says if it can't read them."""

import contextlib
import os
import pwd
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from sessions_app.management.commands.apply import read_files

NOBODY = pwd.getpwnam("nobody")


@contextlib.contextmanager
def as_nobody() -> Iterator[None]:
    """Have the permissions of an account that owns nothing, as the service's account at an administrator's
    files.
    """
    os.seteuid(NOBODY.pw_uid)
    try:
        yield
    finally:
        os.seteuid(os.getuid())


@pytest.fixture
def catalog(tmp_path) -> Path:
    folder = tmp_path / "catalog"
    (folder / "groups").mkdir(parents=True)
    (folder / "groups/operators.yaml").write_text("name: operators\n")
    (folder / "policies").mkdir()
    (folder / "policies/work.yml").write_text("name: work\n")
    return folder


def test_every_yaml_file_below_the_folder_is_read_by_its_path(catalog):
    (catalog / "README.md").write_text("not of the catalog")
    (catalog / "groups/.#operators.yaml").symlink_to("the lock of an editor")
    assert read_files(catalog) == {
        "groups/operators.yaml": "name: operators\n",
        "policies/work.yml": "name: work\n",
    }


@pytest.mark.parametrize("closed", ["..", ".", "groups", "groups/operators.yaml"])
def test_what_the_account_can_not_read_is_named_with_what_to_do(catalog, closed):
    for folder in catalog.parents[:3]:
        folder.chmod(0o755)
    (catalog / closed).chmod(0o700)
    with as_nobody(), pytest.raises(CommandError) as refusal:
        call_command("apply", str(catalog), "--plan")
    said = str(refusal.value)
    assert said.startswith(f"The account nobody can't read {catalog}")
    assert f"Copy {catalog} to where this account can read it" in said
    assert "\n" not in said
