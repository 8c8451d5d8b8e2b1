"""`createsuperuser` and `changepassword`, which Django brings, write entries here."""

import pytest
from django.core.management import CommandError, call_command

from accounts.models import Identity
from tests.support.world.acts import events, last
from tests.support.world.world import PASSWORD

NEW = "another horse, another battery"


@pytest.fixture
def typed(monkeypatch):
    """What the person at the terminal types, line by line; the terminal is the outside world."""

    def types(*lines: str) -> None:
        waiting = iter(lines)
        monkeypatch.setattr("getpass.getpass", lambda _prompt: next(waiting))

    return types


def test_the_first_administrator_is_in_the_record(db, monkeypatch):
    monkeypatch.setenv("DJANGO_SUPERUSER_PASSWORD", PASSWORD)
    call_command("createsuperuser", "--noinput", username="Root", email="root@example.com", verbosity=0)
    root = Identity.objects.get(username="root")
    assert root.is_superuser
    assert root.check_password(PASSWORD)
    entry = last("identity.created", "root")
    assert (entry.actor, entry.data["administrator"]) == ("system:createsuperuser", True)


def test_a_name_that_is_none_and_one_that_is_taken_are_errors_that_say_so(world):
    for name, said in (("no spaces", "isn't a valid username"), ("ALICE", "is taken")):
        with pytest.raises(CommandError, match=said):
            call_command("createsuperuser", "--noinput", username=name)


def test_a_password_from_the_shell_is_in_the_record(world, typed, capsys):
    typed("short", "short", NEW, "something else", NEW, NEW)
    call_command("changepassword", "Alice")
    told = capsys.readouterr()
    assert "too short" in told.err
    assert "do not match" in told.err
    assert "Password changed for alice" in told.out
    world.alice.refresh_from_db()
    assert world.alice.check_password(NEW)
    assert last("identity.password_changed", "alice").actor == "system:changepassword"


def test_the_first_administrator_is_asked_for_what_is_not_given(db, typed, monkeypatch, capsys):
    monkeypatch.setattr("sys.stdin.isatty", lambda: True)
    typed("short", "short", NEW, "something else", NEW, NEW)
    monkeypatch.setattr("builtins.input", lambda _prompt: "root@example.com")
    call_command("createsuperuser", username="root")
    told = capsys.readouterr()
    assert "too short" in told.err
    assert "do not match" in told.err
    assert "root is an administrator" in told.out
    made = Identity.objects.get(username="root")
    assert (made.email, made.check_password(NEW)) == ("root@example.com", True)


def test_without_a_terminal_and_without_a_name_nobody_is_made(db, monkeypatch):
    monkeypatch.delenv("DJANGO_SUPERUSER_USERNAME", raising=False)
    monkeypatch.setattr("sys.stdin.isatty", lambda: False)
    for arguments, said in ((["--noinput"], "(--username)"), ([], "There is no terminal for prompts")):
        with pytest.raises(CommandError, match=said):
            call_command("createsuperuser", *arguments)
    assert not Identity.objects.exists()


def test_after_three_tries_nothing_was_changed(world, typed):
    typed(*["short"] * 6)
    with pytest.raises(CommandError, match="The password was not changed"):
        call_command("changepassword", "alice")
    with pytest.raises(CommandError, match="User nobody not found"):
        call_command("changepassword", "nobody")
    typed(NEW, NEW)
    with pytest.raises(CommandError, match="Machines don't have passwords"):
        call_command("changepassword", "robot")
    assert "identity.password_changed" not in events()
