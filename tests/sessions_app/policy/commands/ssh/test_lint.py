"""The linter names what a set allows beyond what it seems to, with a reason and a fix."""

from typing import Any

import pytest

from sessions_app.policy.commands.document import CommandSetDocument
from sessions_app.policy.commands.kinds import lint
from tests.sessions_app.policy.commands.conftest import make


def codes(document: CommandSetDocument) -> set[tuple[str, str]]:
    return {(finding.severity, finding.code) for finding in lint(document) if finding.code != "no_examples"}


ERRORS = [
    ("sh -c ls", "shell"),
    ("/bin/bash x", "shell"),
    ("busybox sh", "shell"),
    ("fish", "shell"),
    ("python3 x.py", "interpreter"),
    ("python3.11 -V", "interpreter"),
    ("perl5.36 x", "interpreter"),
    ("awk '{p x}' f", "interpreter"),
    ("node x", "interpreter"),
    ("gdb -p 1", "interpreter"),
    ("sudo -i", "shell"),
    ("su - x", "elsewhere"),
    ("chroot / ls", "elsewhere"),
    ("nsenter -t 1 ls", "elsewhere"),
    ("systemd-run ls", "elsewhere"),
    ("/usr/bin/doas sh", "shell"),
    ("env sh", "shell"),
    ("env LD_PRELOAD=/x ls", "environment"),
    ("xargs ls", "starter"),
    ("watch ls", "starter"),
    ("strace ls", "starter"),
    ("docker exec a ls", "container"),
    ("docker -H x exec a", "container"),
    ("kubectl -n x exec a", "cluster_run"),
    ("ip netns exec a ls", "starter"),
    ("systemctl edit x", "unit_file"),
    ("nohup ls", "outlives"),
    ("setsid ls", "outlives"),
    ("at now", "outlives"),
    ("crontab /srv/x", "outlives"),
    ("vim x", "editor"),
    ("crontab -e", "editor"),
    ("nano x", "editor"),
    ("less x", "pager"),
    ("man x", "pager"),
    ("systemctl status x", "pager"),
    ("systemctl", "pager"),
    ("journalctl -u x", "pager"),
    ("git log", "pager"),
    ("git -C /srv/x log", "pager"),
    ("ssh x", "remote"),
    ("scp a b", "remote"),
    ("rsync a b", "remote"),
    ("nc -l 1", "remote"),
    ("timeout 5 bash", "shell"),
    ("nice -n 5 /usr/bin/python3 x", "interpreter"),
    ("timeout 5 sudo sh", "shell"),
    ("find /srv -exec ls", "option_executes"),
    ("find /srv -ok ls", "option_executes"),
    ("find /srv -fprint /etc/cron.d/x", "writes_decisive"),
    ("tar -cf a b --checkpoint-action=exec=id", "option_executes"),
    ("tar --checkpoint-act=exec=id -cf a b", "option_executes"),
    ("tar --to-command=id -xf a", "option_executes"),
    ("tar -I id -xf a", "option_executes"),
    ("tcpdump -z id", "option_executes"),
    ("tcpdump -nz id", "option_executes"),
    ("x -oProxyCommand=id", "option_executes"),
    ("x -o ProxyCommand=id", "option_executes"),
    ("x --rsh=id", "option_executes"),
    ("x '-oproxycommand id'", "option_executes"),
    ("git -c core.pager=id log", "option_executes"),
    ("sort --compress-program=id x", "option_executes"),
    ("split --filter=id x", "option_executes"),
    ("nmap --script=x y", "option_executes"),
    ("x LD_PRELOAD=/y", "environment"),
    ("x PAGER=y", "environment"),
    ("./deploy", "relative_program"),
    ("bin/deploy", "relative_program"),
    ("/opt/../x", "relative_program"),
    ("/tmp/deploy", "writable_path"),
    ("/home/a/deploy", "writable_path"),
    ("cd /x", "builtin"),
    ("insmod x", "kernel"),
    ("mysql", "database_open"),
    ("psql -c 'select {n}'", "free_code"),
    ("sed s/{n}/x/ f", "free_code"),
    ("docker {n} x", "free_verb"),
    ("systemctl {n} x", "free_verb"),
    ("nice {n}", "free_verb"),
    ("sort --output={n} x", "option_writes"),
]


@pytest.mark.parametrize(("run", "code"), ERRORS)
def test_what_runs_anything_is_an_error(run, code):
    parameters = {"n": {"name": 20}} if "{n}" in run else {}
    assert ("error", code) in codes(make(run, parameters=parameters))


WARNINGS = [
    ("sudo ls", "becomes_another"),
    ("busybox ls", "applet"),
    ("tar -cf a b", "archive"),
    ("apt-get update", "packages"),
    ("ansible-playbook x", "automation"),
    ("curl http://x", "fetch"),
    ("tcpdump -c 5", "capture"),
    ("useradd x", "accounts"),
    ("kubectl get pods", "cluster_tool"),
    ("docker restart x", "handed_over"),
    ("psql -c 'select 1'", "database_client"),
    ("git pull", "hooks"),
    ("find /srv -delete", "deletes_many"),
    ("sed -i s/a/b/ x", "in_place"),
    ("sed s/a/b/ x", "sed"),
    ("sort --output=x y", "option_writes"),
    ("dd of=x", "option_writes"),
    ("cat /tmp/x", "writable_path"),
    ("x --config=/tmp/y", "writable_path"),
    ("cat /etc/shadow", "secret"),
    ("cat /root/.ssh/id", "secret"),
    ("service x restart", "daemonises"),
    ("/etc/init.d/x restart", "daemonises"),
    ("nginx", "daemonises"),
    ("x --daemon", "daemonises"),
    ("cat naïve", "look_alike"),
]


@pytest.mark.parametrize(("run", "code"), WARNINGS)
def test_what_needs_a_reason_is_a_warning(run, code):
    found = codes(make(run, contain="group"))
    assert ("warning", code) in found
    assert not {severity for severity, _ in found} - {"warning"}


QUIET = [
    "systemctl restart nginx",
    "systemctl --no-pager status nginx",
    "journalctl --no-pager -u nginx -n 100",
    "uptime",
    "df -h",
    "ls -o",
    "tail -n 100 /var/log/nginx/error.log",
    "nginx -t",
    "nginx -s reload",
    "sed --sandbox -n 1,5p /var/log/x",
    "sha256sum --check x",
    "timeout 5 ls",
    "find /srv -name x",
    "pg_ctl reload",
    "ip addr show",
    "free -m",
    "cat /etc/hosts",
    "grep -e x /var/log/y",
]


@pytest.mark.parametrize("run", QUIET)
def test_ordinary_commands_give_no_finding(run):
    assert codes(make(run)) == set()


def test_verbs_that_a_choice_offers_count_as_written():
    assert ("error", "container") in codes(
        make("docker {v} web", parameters={"v": {"choice": ["restart", "exec"]}})
    )
    assert ("error", "pager") in codes(
        make("systemctl {v} web", parameters={"v": {"choice": ["restart", "status"]}})
    )
    assert codes(make("systemctl {v} web", parameters={"v": {"choice": ["restart", "reload"]}})) == set()


TYPES = [
    ({"pattern": ".*"}, ("error", "broad_pattern")),
    ({"pattern": "[^ ]+"}, ("error", "broad_pattern")),
    ({"pattern": r"\S+"}, ("error", "broad_pattern")),
    ({"pattern": "[a-z -]+"}, ("warning", "broad_pattern")),
    ({"pattern": "[a-z0-9-]+"}, ("warning", "option_like")),
    ({"pattern": "[a-z0-9/]+"}, ("warning", "path_pattern")),
    ({"pattern": r"[a-z.]+"}, ("warning", "path_pattern")),
    ({"path": "/"}, ("error", "free_path")),
    ({"path": "/etc"}, ("warning", "free_path")),
    ({"path": "/tmp"}, ("warning", "writable_path")),
    ({"path": "/home/x"}, ("warning", "writable_path")),
    ({"int": [-1, 5]}, ("warning", "option_like")),
]


@pytest.mark.parametrize(("type_", "expected"), TYPES)
def test_values_that_leave_too_much_open_are_found_bound_or_free(type_, expected):
    assert expected in codes(make("ls {x}", parameters={"x": type_}))
    assert expected in codes(make({"run": "ls {x}", "where": {"x": type_}}))


@pytest.mark.parametrize(
    "type_",
    [
        {"pattern": "[a-z0-9][a-z0-9-]{0,40}"},
        {"pattern": "v[0-9]+"},
        {"path": "/var/log/nginx"},
        {"int": [0, 5]},
        {"name": 20},
        {"choice": ["a"]},
        {"cidr": ["10.0.0.0/8"]},
        {"duration": ["1s", "5m"]},
        {"from": "workflow.id"},
    ],
)
def test_narrow_values_give_no_finding(type_):
    assert codes(make("ls {x}", parameters={"x": type_})) == set()


def test_a_number_below_zero_behind_two_dashes_is_no_option():
    assert codes(make({"run": "echo -- {n}", "where": {"n": {"int": [-5, 5]}}})) == set()


def test_a_daemon_in_a_pid_namespace_gives_no_finding():
    assert codes(make("nginx")) == set()


def test_a_group_that_processes_can_leave_must_be_accepted_where_it_is_asked_for():
    def places(document: Any) -> list[str]:
        return [found.where for found in lint(document) if found.code == "uncontained"]

    assert places(make("ls", contain="group")) == ["contain"]
    assert places(make("ls", {"run": "id", "contain": "group"})) == ["commands[1].contain"]
    assert places(make("ls", {"run": "id", "contain": "pidns"})) == []


def test_a_change_that_is_called_reading_is_an_error():
    assert ("error", "effect") in codes(make({"run": "systemctl restart x", "effect": "read"}))
    assert ("error", "effect") in codes(make({"run": "rm /srv/x", "effect": "read"}))
    assert ("error", "effect") in codes(make({"run": "monit validate", "effect": "read"}))
    assert codes(make({"run": "systemctl is-active x", "effect": "read"})) == set()


def test_commands_that_one_line_fits_are_named():
    free = {"run": "ls {x}", "where": {"x": {"name": 9}}}
    assert ("warning", "overlap") in codes(make(free, {"run": "ls a", "hold": True}))
    assert ("warning", "overlap") in codes(make("ls a", "ls a"))
    assert codes(make(free, "ls /srv", "ls", "ls a b")) == set()


@pytest.mark.parametrize(
    ("one", "other", "meet"),
    [
        ({"choice": ["a", "b"]}, {"choice": ["c"]}, False),
        ({"choice": ["a", "b"]}, {"choice": ["b"]}, True),
        ({"int": [1, 5]}, {"int": [6, 9]}, False),
        ({"int": [1, 6]}, {"int": [6, 9]}, True),
        ({"int": [1, 5]}, {"pattern": "[a-z]+"}, False),
        ({"choice": ["a", "b"]}, {"pattern": "[c-z]+"}, False),
        ({"pattern": "web-[a-z]+"}, {"pattern": "db-[a-z]+"}, False),
        ({"pattern": "[a-z]+"}, {"pattern": "[a-z]+-[0-9]"}, False),
        ({"name": 9}, {"path": "/srv"}, False),
        ({"pattern": "[a-z]+"}, {"name": 9}, True),
        ({"path": "/srv"}, {"path": "/srv/app"}, True),
        ({"path": "/srv"}, {"path": "/opt"}, False),
    ],
)
def test_commands_overlap_only_if_their_values_can_be_the_same(one, other, meet):
    document = make({"run": "ls {x}", "where": {"x": one}}, {"run": "ls {y}", "where": {"y": other}})
    assert (("warning", "overlap") in codes(document)) == meet


@pytest.mark.parametrize(
    ("one", "other", "meet"),
    [
        ("ls web-{x}", "ls db-{x}", False),
        ("ls {x}.log", "ls {x}.txt", False),
        ("ls web-{x}", "ls {x}", True),
        ("ls {x} {x}", "ls a b", False),
        ("ls {x} {x}", "ls a a", True),
    ],
)
def test_commands_overlap_only_if_fixed_text_and_repeated_values_allow_it(one, other, meet):
    where = {"x": {"name": 9}}
    both = [{"run": run, "where": where if "{x}" in run else {}} for run in (one, other)]
    assert (("warning", "overlap") in codes(make(*both))) == meet


def test_a_pattern_whose_quote_has_no_end_is_read_as_any_text():
    rule = {"run": "getent passwd web-{x}", "where": {"x": {"pattern": r"\Qa"}}}
    assert ("warning", "overlap") in codes(make(rule, "getent passwd db"))


def test_a_set_without_commands_examples_or_use_is_named():
    found = {finding.code for finding in lint(make(parameters={"x": {"name": 9}}))}
    assert found == {"empty", "no_examples", "unused"}
