"""What changed between two versions, in sentences."""

from sessions_app.policy.commands.diff import diff_documents
from sessions_app.policy.commands.document import CommandSetDocument
from sessions_app.policy.commands.kinds import parse_text


def changed(restart_web: CommandSetDocument, text: str, *pairs: tuple[str, str]) -> list[str]:
    for old, new in pairs:
        assert old in text
        text = text.replace(old, new, 1)
    return [change.message for change in diff_documents(restart_web, parse_text(text))]


def test_the_same_document_has_no_changes(restart_web, restart_web_text):
    assert changed(restart_web, restart_web_text) == []
    assert (
        changed(restart_web, restart_web_text, ("effect: change", "effect: change\n    contain: pidns")) == []
    )


def test_each_change_is_a_sentence(restart_web, restart_web_text):
    found = changed(
        restart_web,
        restart_web_text,
        ("risk: medium", "risk: high"),
        ("[nginx, haproxy]", "[nginx, haproxy, varnish]"),
        ("    hold: true\n", ""),
        ("finish: 5m", "finish: 10m"),
        ("[1, 1000]", "[1, 5000]"),
        ("run: systemctl restart", "run: systemctl reload"),
        ('allow: ["systemctl restart nginx"]', 'allow: ["systemctl reload nginx"]'),
    )
    assert found == [
        "risk of the set is now high, was medium",
        'parameter unit is now {choice: ["nginx", "haproxy", "varnish"]}, was {choice: ["nginx", "haproxy"]}',
        "command systemctl restart {unit} is removed",
        (
            "command systemctl reload {unit} is added: {run: systemctl reload {unit}, effect: change, end:"
            " cut, contain: pidns}"
        ),
        (
            "where of command journalctl --no-pager -u {unit} -n {lines} is now {lines: {int: [1, 5000]}},"
            " was {lines: {int: [1, 1000]}}"
        ),
        "hold of command systemctl stop {unit} is now false, was true",
        "end of command systemctl stop {unit} is now {finish: 10m}, was {finish: 5m}",
        "the example to allow is removed: systemctl restart nginx",
        "an example to allow is added: systemctl reload nginx",
    ]


def test_the_order_of_commands_is_no_change_and_contain_of_the_set_is_one_for_each(
    restart_web, restart_web_text
):
    moved = restart_web.model_copy(update={"commands": tuple(reversed(restart_web.commands))})
    assert diff_documents(restart_web, moved) == []
    found = changed(restart_web, restart_web_text, ("risk: medium", "risk: medium\ncontain: group"))
    assert len([message for message in found if message.startswith("contain of command")]) == 3
