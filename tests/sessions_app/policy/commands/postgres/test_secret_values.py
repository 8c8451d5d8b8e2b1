"""Values that a rule marks secret: they are decided and sent, and what is recorded has only their digests."""

import pytest

from sessions_app.policy.commands.answers import Allowed
from sessions_app.policy.commands.kinds import covers, decide, describe
from sessions_app.policy.commands.postgres.sql.hiding import hidden
from sessions_app.policy.commands.postgres.statements import decide_text, prepare
from sessions_app.policy.documents import DocumentError
from tests.sessions_app.policy.commands.postgres.statement_sets import SELECT, compiled, statements

ROTATE = {
    "sql": "UPDATE app.users SET token = {token}, seen = {token}::varchar WHERE id = {id}",
    "where": {"token": {"pattern": "[a-z']{4,20}"}, "id": {"int": [1, 9]}},
    "secret": ["token"],
    "effect": "change",
}
PLAIN = {**ROTATE, "secret": []}
LINE = "UPDATE app.users SET token = 'o''pen', seen = 'o''pen'::varchar WHERE id = 7"


def digest(value: str) -> str:
    return f"<{value}>"


def test_a_secret_value_is_sent_and_recorded_as_its_digest():
    (runs,) = decide_text(compiled(ROTATE), LINE)
    assert runs.text == LINE
    assert runs.recorded(digest).line == (
        "UPDATE app.users SET token = <o'pen>, seen = <o'pen>::varchar WHERE id = 7"
    )
    assert "o'pen" not in runs.recorded(lambda _: "").line
    assert (runs.allowed.matched, runs.allowed.line.count("[secret]")) == ({"id": "7"}, 2)


def test_the_exact_statement_is_decided_under_another_grant_and_shown_nowhere():
    prepared = prepare(compiled(ROTATE), "UPDATE users SET token = $1, seen = $1::varchar WHERE id = $2")
    (literal,) = decide_text(compiled(ROTATE), LINE)
    for runs in (literal, prepared.bind(["o'pen", "7"])):
        recorded = runs.recorded(digest)
        assert recorded.exact == LINE
        for above in (ROTATE, PLAIN):
            assert isinstance(decide(compiled(above), recorded.exact), Allowed)
        assert "pen" not in repr(runs.recorded(lambda _: ""))
    assert decide_text(compiled(PLAIN), LINE)[0].allowed.exact == ""


def test_a_bound_secret_is_recorded_like_a_literal():
    found = prepare(compiled(ROTATE), "UPDATE users SET token = $1, seen = $1::varchar WHERE id = $2")
    (literal,) = decide_text(compiled(ROTATE), LINE)
    assert found.bind(["o'pen", "7"]).recorded(digest) == literal.recorded(digest)


def test_a_decision_without_a_key_shows_no_secret():
    found = decide(compiled(ROTATE), LINE)
    assert isinstance(found, Allowed)
    assert "pen" not in found.line
    assert describe(compiled(ROTATE))[0].detail == ("token: recorded only as a digest",)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("UPDATE t SET a = 'it''s', b = 12 WHERE c = $1", "UPDATE t SET a = <it's>, b = <12> WHERE c = $1"),
        ("SELECT 1.5, B'01', X'FF', E'\\n', $$x$$", "SELECT <1.5>, <B'01'>, <X'FF'>, <E'\\n'>, <$$x$$>"),
        ('UPDATE t SET a = "pass" -- word', 'UPDATE t SET a = <"pass"> <-- word>'),
        ("SELECT 'ä' /* ö */ FROM ü", "SELECT <ä> </* ö */> FROM ü"),
        ("SELECT 'open", "<SELECT 'open>"),
        ("SELECT '\0'", "<SELECT '\0'>"),
    ],
)
def test_what_can_be_a_value_in_a_refused_text_is_hidden(text, shown):
    assert hidden(text, digest) == shown


@pytest.mark.parametrize("secret", [["id"], ["other"]])
def test_only_a_value_of_single_runs_can_be_secret(secret):
    rule = {**ROTATE, "where": {"token": ROTATE["where"]["token"]}, "secret": secret}
    with pytest.raises(DocumentError, match="must be declared under where"):
        statements(rule, parameters={"id": {"int": [1, 9]}})


@pytest.mark.parametrize(
    ("parent", "child", "within"),
    [
        ((ROTATE,), (ROTATE,), True),
        ((PLAIN,), (ROTATE,), True),
        ((ROTATE,), (PLAIN,), False),
        (
            (ROTATE,),
            ({**ROTATE, "sql": LINE.replace("7", "{id}"), "where": {"id": {"int": [1, 9]}}, "secret": []},),
            False,
        ),
        ((ROTATE, PLAIN), (PLAIN,), False),
    ],
    ids=["the same", "more secret", "shown", "fixed in the document", "shown by another command"],
)
def test_a_delegated_set_keeps_secrets_secret(parent, child, within):
    assert (covers(compiled(*parent), compiled(*child)) is None) is within


def test_a_set_hides_if_one_of_its_commands_does():
    assert [compiled(*commands).hides for commands in ((SELECT, ROTATE), (SELECT, PLAIN))] == [True, False]
