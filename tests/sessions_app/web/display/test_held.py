"""How the lines of commands that wait alike are compared."""

from types import SimpleNamespace

import pytest

from sessions_app.web.display.held import compared


def run(kind, line, argv=()):
    cluster = SimpleNamespace(kind=kind)
    return SimpleNamespace(line=line, argv=list(argv), grant=SimpleNamespace(cluster=cluster))


def call(arguments):
    return run("mcp", f"close_ticket {arguments}", ["close_ticket", arguments])


def ssh(*argv):
    return run("ssh", "as typed", argv)


@pytest.mark.parametrize(
    ("runs", "lines"),
    [
        (
            [call('{"id":"T-1","note":"x"}'), call('{"id":"T-2","note":"x"}')],
            ['close_ticket {["id":"T-1"],"note":"x"}', 'close_ticket {["id":"T-2"],"note":"x"}'],
        ),
        (
            [call('{"id":"T-1"}'), call('{"id":"T-1","note":"x"}')],
            ['close_ticket {"id":"T-1"}', 'close_ticket {"id":"T-1",["note":"x"]}'],
        ),
        (
            [ssh("systemctl", "restart", "a b"), ssh("systemctl", "restart", "web")],
            ["systemctl restart ['a b']", "systemctl restart [web]"],
        ),
        ([run("http", "POST /a/1"), run("http", "POST /a/2")], ["POST [/a/1]", "POST [/a/2]"]),
        ([ssh("a"), ssh("a")], ["a", "a"]),
    ],
)
def test_each_line_is_exact_and_what_differs_is_marked(runs, lines):
    shown = ["".join(f"[{text}]" if differs else text for text, differs in row) for row in compared(runs)]
    assert shown == lines
