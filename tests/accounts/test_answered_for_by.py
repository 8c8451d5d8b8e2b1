"""For whom an identity answers: itself, and the machines that it owns."""

from django.db import connection

from accounts.models import ANSWERED_FOR, Identity, answered_for_by, answers_for
from sessions_app.models import Grant


def names(condition) -> set[str]:
    return set(Identity.objects.filter(condition).values_list("username", flat=True))


def test_a_person_answers_for_their_machines_and_a_machine_for_itself(world):
    mine = {"alice", *Identity.objects.filter(owner=world.alice).values_list("username", flat=True)}
    assert "robot" in mine
    assert names(answered_for_by(world.alice)) == mine
    assert names(answered_for_by(world.robot)) == {"robot"}
    assert names(answered_for_by(world.bob)).isdisjoint(mine)


def test_rows_of_either_are_reached_by_a_path(world):
    grants = {world.grant().pk, world.grant(who=world.robot).pk}
    assert (
        set(Grant.objects.filter(answered_for_by(world.alice, "holder")).values_list("pk", flat=True))
        == grants
    )
    assert not Grant.objects.filter(answered_for_by(world.bob, "holder")).exists()


def test_the_condition_its_sql_and_the_question_about_one_row_agree(world):
    everyone = list(Identity.objects.all())
    for one in everyone:
        answered = {other.username for other in everyone if answers_for(one, other)}
        assert names(answered_for_by(one)) == answered
        with connection.cursor() as cursor:
            cursor.execute(f"SELECT username FROM accounts_identity mine WHERE {ANSWERED_FOR}", [one.pk] * 2)
            assert {username for (username,) in cursor.fetchall()} == answered
