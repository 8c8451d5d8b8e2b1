"""One function decides which lines run; it explains each refusal by the nearest allowed command."""

import pytest

from sessions_app.policy.commands.answers import CompileError, Refused
from sessions_app.policy.commands.argv.lines import parse_line
from sessions_app.policy.commands.ssh.decide import (
    Allowed,
    CompiledSet,
    bind,
    compile_open,
    compile_set,
    decide,
    decide_argv,
    describe,
    lines_for,
)
from tests.sessions_app.policy.commands.conftest import make


@pytest.fixture
def nginx(restart_web):
    return compile_set(restart_web, {"unit": "nginx"})


def refused(compiled: CompiledSet, line: str) -> Refused:
    verdict = decide(compiled, line)
    assert isinstance(verdict, Refused), verdict
    return verdict


def allowed(compiled: CompiledSet, line: str) -> Allowed:
    verdict = decide(compiled, line)
    assert isinstance(verdict, Allowed), verdict
    return verdict


def test_a_listed_command_is_allowed_as_exactly_its_words(nginx):
    assert decide(nginx, "systemctl 'restart'  ngi\"nx\"") == Allowed(
        index=0,
        argv=("systemctl", "restart", "nginx"),
        effect="change",
        hold=False,
        finish_seconds=None,
        contain="pidns",
        as_root=False,
        matched={},
    )
    stop = allowed(nginx, "systemctl stop nginx")
    assert (stop.index, stop.hold, stop.finish_seconds, stop.effect) == (2, True, 300, "destructive")
    journal = allowed(nginx, "journalctl --no-pager -u nginx -n 1000")
    assert journal.matched == {"lines": "1000"}


REFUSED = [
    (
        "systemctl restart sshd",
        "value",
        "`nginx` is allowed, but `sshd` is not one of nginx, haproxy",
        "systemctl restart nginx",
    ),
    (
        "systemctl restart haproxy",
        "value",
        "`nginx` is allowed in this grant; `haproxy` needs another grant",
        "systemctl restart nginx",
    ),
    (
        "systemctl reload nginx",
        "word",
        "expected `restart` instead of `reload`",
        "systemctl restart nginx",
    ),
    (
        "systemctl restart",
        "length",
        "the command ends too early: `nginx` is missing",
        "systemctl restart nginx",
    ),
    (
        "systemctl restart nginx --now",
        "length",
        "`--now` is not part of the command: `systemctl restart nginx` is complete",
        "systemctl restart nginx",
    ),
    (
        "journalctl --no-pager -u nginx -n 1001",
        "value",
        "lines needs a number from 1 to 1000; `1001` is not allowed",
        "journalctl --no-pager -u nginx -n {lines}",
    ),
    (
        "journalctl --no-pager -u nginx -n 07",
        "value",
        "lines: `07` must be written as `7`",
        "journalctl --no-pager -u nginx -n {lines}",
    ),
    (
        "journalctl -u nginx",
        "word",
        "expected `--no-pager` instead of `-u`",
        "journalctl --no-pager -u nginx -n {lines}",
    ),
    ("id", "program", "`id` is not one of the allowed programs: `systemctl`, `journalctl`", None),
    (
        "/usr/bin/systemctl restart nginx",
        "program",
        "`/usr/bin/systemctl` is not one of the allowed programs: `systemctl`, `journalctl`",
        None,
    ),
    ("systemctl restart nginx; id", "syntax", "“;” is never passed to a shell: one command per run", None),
    ("", "syntax", "a command is required", None),
]


@pytest.mark.parametrize(("line", "code", "reason", "nearest"), REFUSED)
def test_a_refusal_says_how_the_line_differs_from_the_nearest_command(nginx, line, code, reason, nearest):
    found = refused(nginx, line)
    assert (found.reason, found.nearest, found.code) == (reason, nearest, code)


NEAR_MISSES = [
    "Systemctl restart nginx",
    "systemctl RESTART nginx",
    "systemctl restart nginx ''",
    "systemctl restart 'nginx '",
    "systemctl restart ' nginx'",
    "systemctl restart nginxx",
    "systemctl restart ngin",
    "systemctl 'restart nginx'",
    "'systemctl restart nginx'",
    "systemctl restart {unit}",
    "systemctl restart '{unit}'",
    "systemctl restart nginx.service",
    "systemctl --now restart nginx",
    "systemctl restart -- nginx",
    "systemctl restart ''",
    "systemctl restart nginx nginx",
    "journalctl --no-pager -u nginx -n -5",
    "journalctl --no-pager -u nginx -n ''",
    "journalctl --no-pager -u nginx -n 5 -f",
    "journalctl --no-pager -u haproxy -n 5",
    "journalctl --no-pager -u nginx -n5",
    "systemctl stop haproxy",
]


@pytest.mark.parametrize("line", NEAR_MISSES)
def test_what_only_resembles_a_listed_command_is_refused(nginx, line):
    refused(nginx, line)


def test_words_parsed_already_are_decided_alike(nginx):
    line = "journalctl --no-pager -u nginx -n 5"
    assert decide_argv(nginx, parse_line(line)) == decide(nginx, line)
    assert isinstance(decide_argv(nginx, ()), Refused)


@pytest.mark.parametrize(
    ("bindings", "said"),
    [
        ({}, "unit is missing: it needs one of nginx, haproxy."),
        ({"unit": "sshd"}, "unit: `sshd` is not one of nginx, haproxy"),
        ({"unit": ""}, "unit needs a value"),
        ({"unit": "-nginx"}, "unit begins with"),
        ({"unit": "nginx", "lines": "5"}, "lines is not a parameter"),
    ],
)
def test_a_grant_needs_a_fitting_value_for_each_parameter_and_no_other(restart_web, bindings, said):
    with pytest.raises(CompileError) as caught:
        compile_set(restart_web, bindings)
    assert said in str(caught.value)


def test_values_are_bound_in_their_one_spelling():
    document = make("kill -s TERM {pid}", parameters={"pid": {"int": [1, 99999]}})
    assert bind(document, {"pid": "0042"}) == {"pid": "42"}
    allowed(compile_set(document, {"pid": "0042"}), "kill -s TERM 42")
    refused(compile_set(document, {"pid": "0042"}), "kill -s TERM 0042")


def test_where_several_commands_fit_the_strictest_decides_in_any_order():
    loose = {"run": "rm {what}", "where": {"what": {"path": "/srv"}}, "effect": "read"}
    held = {"run": "rm /srv/data", "effect": "change", "hold": True}
    harsh = {"run": "rm {what}", "where": {"what": {"path": "/srv/data"}}, "effect": "destructive"}
    for commands in ([loose, held, harsh], [harsh, held, loose], [held, loose, harsh]):
        compiled = compile_set(make(*commands), {})
        assert allowed(compiled, "rm /srv/data").hold
        assert allowed(compiled, "rm /srv/data/x").effect == "destructive"
        assert allowed(compiled, "rm /srv/x").effect == "read"


def test_a_command_that_is_cut_off_wins_over_one_that_may_finish():
    document = make(
        {"run": "sync", "end": {"finish": "5m"}}, {"run": "sync"}, {"run": "sync", "contain": "pidns"}
    )
    verdict = allowed(compile_set(document, {}), "sync")
    assert (verdict.finish_seconds, verdict.contain) == (None, "pidns")


def test_a_value_may_be_a_part_of_a_word():
    document = make(
        {
            "run": "a --unit={unit} {src}:{dst} {n}x{n} {host}.log",
            "where": {
                "src": {"path": "/srv"},
                "dst": {"name": 9},
                "n": {"int": [-9, 9]},
                "host": {"name": 20},
            },
        },
        parameters={"unit": {"name": 20}},
    )
    compiled = compile_set(document, {"unit": "web"})
    verdict = allowed(compiled, "a --unit=web /srv/x:y 3x3 a.log.log")
    assert verdict.matched == {"src": "/srv/x", "dst": "y", "n": "3", "host": "a.log"}
    for line in [
        "a --unit=web2 /srv/x:y 3x3 a.log",
        "a --unit= /srv/x:y 3x3 a.log",
        "a --unit=web /srv/x:y:z 3x3 a.log",
        "a --unit=web /srv/x: 3x3 a.log",
        "a --unit=web :y 3x3 a.log",
        "a --unit=web /srv/x:y 3x4 a.log",
        "a --unit=web /srv/x:y 3x3 .log",
        "a --unit=web /srv/x:y 3x3 a.lo",
        "a --unit=web /srv/x:y 3x3 log",
        "a --unit=web /srv/xy 3x3 a.log",
        "a --unit=web /srv/x:-y 3x3 a.log",
        "a --unit=web /etc/x:y 3x3 a.log",
    ]:
        refused(compiled, line)


def test_a_value_never_swallows_the_text_that_ends_it():
    where = {"a": {"pattern": "[a-z:]+"}, "b": {"pattern": "[a-z:]+"}}
    compiled = compile_set(make({"run": "cp {a}:{b}", "where": where}), {})
    assert allowed(compiled, "cp x:y:z").matched == {"a": "x", "b": "y:z"}
    document = make({"run": "cp {a}:{b}", "where": {"b": where["b"]}}, parameters={"a": where["a"]})
    with pytest.raises(CompileError, match="must not contain `:`"):
        compile_set(document, {"a": "x:y"})
    document = make({"run": "cp {a}:{b}", "where": {"a": where["a"]}}, parameters={"b": where["b"]})
    refused(compile_set(document, {"b": "y:z"}), "cp w:x:y:z")
    allowed(compile_set(document, {"b": "y:z"}), "cp w:y:z")


def test_before_any_grant_a_set_allows_what_some_grant_could(restart_web):
    open_set = compile_open(restart_web)
    assert allowed(open_set, "systemctl restart haproxy").matched == {"unit": "haproxy"}
    refused(open_set, "systemctl restart sshd")


def test_pages_see_commands_with_values_limits_and_rules(nginx):
    restart, journal, stop = describe(nginx)
    assert (restart.text, restart.free, restart.effect) == ("systemctl restart nginx", (), "change")
    assert journal.text == "journalctl --no-pager -u nginx -n {lines}"
    (lines,) = journal.free
    assert (lines.name, lines.kind, lines.limits, lines.low, lines.high) == (
        "lines",
        "int",
        "a number from 1 to 1000",
        "1",
        "1000",
    )
    assert (stop.hold, stop.finish_seconds) == (True, 300)
    quoted = describe(compile_set(make("grep 'a {x}' ''", parameters={"x": {"pattern": ".+"}}), {"x": "b;c"}))
    assert quoted[0].text == "grep 'a b;c' ''"


def test_a_form_gives_the_same_command_as_a_typed_line(nginx):
    verdict = lines_for(nginx, 1, {"lines": "007"})
    assert isinstance(verdict, Allowed)
    assert verdict.line == "journalctl --no-pager -u nginx -n 7"
    assert verdict == decide(nginx, verdict.line)


@pytest.mark.parametrize(
    ("index", "values", "code"),
    [
        (1, {"lines": "1001"}, "value"),
        (1, {"lines": "5; id"}, "value"),
        (1, {"lines": ""}, "value"),
        (1, {}, "value"),
        (1, {"lines": "5", "unit": "haproxy"}, "value"),
        (0, {"unit": "haproxy"}, "value"),
        (3, {}, "left_out"),
        (-1, {}, "left_out"),
    ],
)
def test_a_form_with_a_wrong_value_is_refused(nginx, index, values, code):
    verdict = lines_for(nginx, index, values)
    assert isinstance(verdict, Refused)
    assert verdict.code == code


def test_a_form_cannot_run_a_command_that_was_left_out(restart_web):
    assert isinstance(lines_for(compile_set(restart_web, {"unit": "nginx"}, [1]), 0, {}), Refused)


def test_wicked_values_are_one_inert_word_or_refused():
    compiled = compile_set(make({"run": "grep {what} /var/log/x", "where": {"what": {"pattern": ".*"}}}), {})
    assert allowed(compiled, "grep '$IFS$(id)`id`;*' /var/log/x").argv == (
        "grep",
        "$IFS$(id)`id`;*",
        "/var/log/x",
    )
    for line in [
        "grep $IFS /var/log/x",
        "grep $(id) /var/log/x",
        "grep -f /var/log/x",
        "grep '-oProxyCommand=x' /var/log/x",
        "grep --rsh=x /var/log/x",
        "grep \\--rsh=x /var/log/x",
        "grep '' /var/log/x",
    ]:
        refused(compiled, line)
