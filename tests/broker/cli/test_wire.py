"""What is sent twice and what is not, and what is shown of what others wrote."""

import json
from types import SimpleNamespace

import pytest

from broker.cli import screen
from broker.cli.errors import CliError, Exit, Unreachable
from broker.cli.wire import Wire
from tests.support.servers.answering import answering


@pytest.fixture
def server():
    """A server that answers with what it is told, in turn, and remembers what it was asked."""

    server = SimpleNamespace(asked=[], answers=[])

    def answer(asked):
        server.asked.append((asked.path, dict(asked.headers)))
        status, headers, body = server.answers.pop(0)
        return status, headers, json.dumps(body).encode()

    with answering(answer) as port:
        server.url = f"http://127.0.0.1:{port}"
        yield server


BUSY = (503, {"Retry-After": "0"}, {"title": "Busy", "code": "unavailable"})


def test_a_repeat_carries_the_key_of_the_first_try(server):
    server.answers = [BUSY, (200, {}, {"ref": "GR-7F3K"})]
    assert Wire(server.url, "stint_x").post("/grants/GR-7F3K/end") == {"ref": "GR-7F3K"}
    first, second = (headers["Idempotency-Key"] for _, headers in server.asked)
    assert first == second


IN_PROGRESS = (409, {}, {"title": "Still in progress.", "code": "idempotency_key_in_use"})


def test_too_many_open_requests_are_refused_at_once_because_only_a_person_changes_that(server):
    full = (429, {"Retry-After": "300"}, {"title": "20 requests wait.", "code": "too_many_open_requests"})
    server.answers = [full]
    with pytest.raises(CliError) as refused:
        Wire(server.url, "stint_x").post("/requests")
    assert (refused.value.status, refused.value.code) == (Exit.REFUSED, "too_many_open_requests")


def test_a_repeat_that_meets_the_first_try_is_sent_again_until_there_is_its_answer(server):
    server.answers = [IN_PROGRESS, IN_PROGRESS, (201, {}, {"ref": "REQ-12"})]
    assert Wire(server.url, "stint_x").post("/requests") == {"ref": "REQ-12"}
    assert len({headers["Idempotency-Key"] for _, headers in server.asked}) == 1


@pytest.mark.slow
def test_what_stays_in_progress_is_not_called_refused_and_other_conflicts_are_not_repeated(server):
    server.answers = [IN_PROGRESS] * 4 + [(409, {}, {"title": "Ended.", "code": "grant_over"})]
    for status, asked in ((Exit.UNREACHABLE, 4), (Exit.REFUSED, 5)):
        with pytest.raises(CliError) as caught:
            Wire(server.url, "stint_x").post("/requests")
        assert (caught.value.status, len(server.asked)) == (status, asked)


@pytest.mark.parametrize("after", ["nan", "inf", "-1", "1e9", "soon", "²"])
def test_a_server_that_says_nonsense_about_when_is_asked_again_all_the_same(server, after):
    server.answers = [(503, {"Retry-After": after}, BUSY[2]), (200, {}, {"ref": "GR-7F3K"})]
    assert Wire(server.url, "stint_x").post("/grants/GR-7F3K/end") == {"ref": "GR-7F3K"}


def test_what_takes_no_key_is_sent_once(server):
    server.answers = [BUSY]
    with pytest.raises(CliError) as caught:
        Wire(server.url, "stint_x").post("/grants/GR-7F3K/credential", again=False)
    assert (caught.value.status, len(server.asked)) == (Exit.UNREACHABLE, 1)


@pytest.mark.parametrize("place", ["https://other.example/", "/elsewhere"])
def test_a_token_follows_no_redirect(server, place):
    server.answers = [(302, {"Location": place}, {})]
    with pytest.raises(Unreachable, match="redirects to"):
        Wire(server.url, "stint_x").post("/me", again=False)
    assert len(server.asked) == 1


def test_a_next_page_elsewhere_is_not_asked_for(server):
    server.answers = [(200, {}, {"results": [{"ref": "x"}], "next": "//other.example/api/"})]
    with pytest.raises(Unreachable, match="on another server"):
        Wire(server.url, "stint_x").pages("/grants")


def test_a_token_is_not_in_what_is_printed_of_it():
    assert "stint_secret" not in repr(Wire("https://stint.example.com", "stint_secret"))


def test_what_others_wrote_draws_nothing_on_a_terminal():
    assert "\x1b" not in screen.plain("\x1b]0;owned\x07\x1b[2J\r\n\u202ename")
    assert screen.plain_output("\x1b[31mred\x1b[0m\n\ttab\x1b]0;owned\x07\r\u202e") == "red\n\ttab"


@pytest.mark.parametrize("lines", [True, False])
def test_a_document_for_programs_draws_nothing_on_a_terminal_and_says_the_same(capsys, lines):
    said = {"line": "\x9b2J\x9d0;owned\x9c\u202e\x7f\x1b[2J\n\u2066", "name": "Jürgen 東京"}
    screen.say_json(said, lines=lines)
    shown = capsys.readouterr().out
    assert "Jürgen 東京" in shown
    assert screen.plain(shown) == shown.replace("\n", "�")
    assert json.loads(shown) == said


def test_a_table_is_shortened_from_its_widest_column_and_gives_up_when_it_is_too_narrow():
    assert screen._fitted([8, 40, 20], [3, 6, 6], 60) == [8, 28, 20]
    assert sum(screen._fitted([8, 40, 20], [3, 6, 6], 40)) == 36
    assert screen._fitted([8, 40, 20], [3, 6, 6], 20) is None
    assert screen._cut("日本語テキスト", 7) == "日本語…"
