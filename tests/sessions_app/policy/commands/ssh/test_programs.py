"""The table of programs holds: nothing dangerous passes without a word, and nothing everyday is refused."""

from pathlib import Path
from typing import Any

import pytest

from sessions_app.policy.commands.findings import Finding
from sessions_app.policy.commands.kinds import lint
from sessions_app.policy.commands.ssh.modes import mode_code
from sessions_app.policy.commands.ssh.table import PROGRAMS, read_table, table
from sessions_app.policy.documents import DocumentError
from tests.sessions_app.policy.commands.conftest import make
from tests.sessions_app.policy.commands.ssh.lines_of_programs import (
    CHANGING,
    DANGEROUS,
    EVERYDAY,
    NAMED,
    NAMED_AS_READING,
    REVEALING,
)

FREE = {
    "n": {"name": 40},
    "p": {"path": "/srv/app"},
    "c": {"path": "/etc/cron.d"},
    "any": {"path": "/"},
}
# The functions of GTFOBins (https://gtfobins.org, of April 2026) and the ways in which a program has more
# rights there.
BINARIES = (Path(__file__).parent / "gtfobins.txt").read_text(encoding="utf-8").split()


def findings(run: str, effect: str = "change", **values: Any) -> list[Finding]:
    where = {name: type_ for name, type_ in FREE.items() if f"{{{name}}}" in run} | values
    # In a PID namespace there would be less to find: a daemon ends with its command.
    document = make({"run": run, "effect": effect, "where": where}, contain="group")
    return [finding for finding in lint(document) if finding.code not in {"no_examples", "uncontained"}]


def codes(run: str, effect: str = "change", **values: Any) -> set[tuple[str, str]]:
    return {(one.severity, one.code) for one in findings(run, effect, **values)}


LINES = [(kind, line) for kind, lines in DANGEROUS.items() for line in lines]


@pytest.mark.parametrize(("kind", "line"), LINES)
def test_no_dangerous_line_passes_without_a_word(kind, line):
    found = findings(line)
    assert found, f"{line} passes"
    for finding in found:
        assert len(finding.message) > 20
        assert len(finding.fix) > 10


def test_a_second_readers_lines_do_not_pass_without_a_word():
    assert len({*CHANGING, *REVEALING}) > 1500
    assert [line for line in (*CHANGING, *REVEALING) if not findings(line)] == []


def test_what_a_second_reader_changed_something_with_is_not_published_as_reading():
    assert [
        line for line in CHANGING if "error" not in {severity for severity, _ in codes(line, "read")}
    ] == []


@pytest.mark.parametrize("line", NAMED)
def test_what_once_passed_has_a_finding_that_names_its_danger(line):
    named = {code for _, code in codes(line)}
    assert named - {"unknown_program", "unknown_option", "unknown_word", "unknown_verb"}


@pytest.mark.parametrize("line", NAMED_AS_READING)
def test_what_changes_or_destroys_is_not_published_as_reading(line):
    assert ("error", "effect") in codes(line, "read")


@pytest.mark.parametrize(("line", "effect"), EVERYDAY)
def test_no_everyday_line_is_refused(line, effect):
    assert [one for one in findings(line, effect) if one.severity == "error"] == []


def test_most_everyday_lines_give_no_finding_at_all():
    quiet = [line for line, effect in EVERYDAY if not findings(line, effect)]
    assert len(quiet) >= 150


@pytest.mark.parametrize("name", BINARIES)
def test_every_program_of_gtfobins_is_known(name):
    assert table().shape_of(name) is not None


# What is not known


def test_an_unknown_program_is_a_warning_that_names_it_and_an_error_where_it_is_told_as_reading():
    (finding,) = findings("/usr/local/sbin/deploy-web v1")
    assert (finding.severity, finding.code, finding.where) == (
        "warning",
        "unknown_program",
        "commands[0].run",
    )
    assert "deploy-web" in finding.message
    assert codes("mytool status", "read") == {("error", "unknown_program")}


@pytest.mark.parametrize(
    "type_",
    [{"name": 20}, {"pattern": "v[0-9]+"}, {"path": "/srv/app"}, {"int": [1, 9]}, {"cidr": ["10.0.0.0/8"]}],
)
def test_an_unknown_program_with_a_value_can_be_accepted_but_not_as_reading(type_):
    assert codes("mytool {x}", x=type_) == {("warning", "unknown_program")}
    assert codes("mytool {x}", "read", x=type_) == {("error", "unknown_program")}
    (finding,) = findings("mytool {x}", x=type_)
    assert "chooses at each run" in finding.message


def test_an_unknown_program_with_listed_or_bound_values_is_a_warning():
    assert codes("mytool {x}", x={"choice": ["start", "stop"]}) == {("warning", "unknown_program")}
    bound = make("mytool {x}", parameters={"x": {"name": 20}})
    assert {(one.severity, one.code) for one in lint(bound)} == {
        ("warning", "unknown_program"),
        ("warning", "no_examples"),
    }


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("sort --frob /srv/x", "unknown_option"),
        ("systemctl frob nginx", "unknown_verb"),
        ("atq now", "unknown_word"),
        ("top -b -n 1 --frob", "unknown_option"),
        ("ss -Q", "unknown_option"),
        ("docker image frob x", "container"),
    ],
)
def test_what_is_not_known_of_a_known_program_is_not_passed_over(line, code):
    assert code in {found for _, found in codes(line)}


# Programs behind programs, and where they lie


@pytest.mark.parametrize(
    "before",
    [
        "sudo",
        "sudo -n -u app",
        "doas",
        "timeout 5",
        "timeout -k 1 5",
        "nice -n 5",
        "ionice -c 3",
        "env",
        "env LANG=C",
        "stdbuf -o L",
        "runuser -u app --",
        "setpriv --reuid=app",
        "chrt 1",
        "taskset 1",
        "busybox",
        "toybox",
        "/usr/bin/sudo",
        "sudo timeout 5 nice busybox",
        "gosu app",
        "systemd-cat",
        "numactl",
        "/usr/bin/time",
        "pkexec",
        "choom -n 0",
        "setlock /srv/lock",
    ],
)
def test_the_program_behind_another_is_judged_like_one_that_stands_alone(before):
    assert ("error", "shell") in codes(f"{before} sh")
    assert ("error", "option_executes") in codes(f"{before} find /srv -exec id")
    assert ("error", "unknown_program") in codes(f"{before} mytool", "read")
    assert ("error", "free_verb") in codes(f"{before} {{n}}")
    assert not [one for one in findings(f"{before} uptime", "read") if one.severity == "error"]


@pytest.mark.parametrize(
    "line", ["timeout sh", "chrt -i sh", "taskset sh", "timeout {n} sh", "timeout {n} uptime"]
)
def test_what_stands_for_a_number_in_front_of_a_program_is_one_or_is_judged(line):
    assert {("error", "shell"), ("error", "free_verb")} & codes(line)


def test_a_number_in_front_of_a_program_may_be_a_value():
    assert codes("timeout {s} uptime", "read", s={"int": [1, 9]}) == set()
    assert codes("timeout {s} uptime", "read", s={"duration": ["1s", "5m"]}) == set()


@pytest.mark.parametrize(
    "line",
    [
        "/bin/sh",
        "/usr/bin/python3",
        "/opt/x/bin/bash",
        "/usr/sbin/visudo",
        "/bin/busybox sh",
        "/usr/local/bin/vim",
    ],
)
def test_a_path_hides_no_program(line):
    assert "error" in {severity for severity, _ in codes(line)}


@pytest.mark.parametrize("line", ["/opt/x/ls", "/srv/bin/uptime", "sudo /opt/x/ls"])
def test_a_file_elsewhere_is_not_the_program_of_its_name(line):
    assert ("warning", "unknown_program") in codes(line)


@pytest.mark.parametrize("line", ["sudo /tmp/x", "timeout 5 ./x", "env bin/x"])
def test_a_program_behind_another_lies_where_only_administrators_write(line):
    assert {("error", "writable_path"), ("error", "relative_program")} & codes(line)


# Options and values


@pytest.mark.parametrize(
    "line",
    [
        "tar --checkpoint-act=exec=id -cf a b",
        "sort --compress=id x",
        "rm --recurs /srv",
        "journalctl --no-pager --vacuum-t=1s",
        "sudo --edi x",
    ],
)
def test_a_beginning_of_a_long_option_is_that_option(line):
    assert {code for _, code in codes(line)} & {
        "option_executes",
        "deletes_many",
        "erases_logs",
        "editor",
    }


@pytest.mark.parametrize("line", ["iptables -nF", "rm -fr /srv", "crontab -ue x", "sudo -ns"])
def test_options_in_a_cluster_are_read_one_by_one(line):
    assert codes(line)


@pytest.mark.parametrize("line", ["tail --{n} /srv/x", "ls -{n}", "sort --{n}=x"])
def test_a_value_may_not_choose_the_option(line):
    assert ("error", "free_option") in codes(line)


@pytest.mark.parametrize(
    "line",
    [
        "systemctl start {n}",
        "systemctl restart {n}",
        "systemctl enable {n}",
        "docker restart {n}",
        "kill {n}",
        "umount {n}",
        "apt-get install {n}",
    ],
)
def test_what_is_acted_on_is_written_out_listed_or_begun(line):
    assert ("error", "free_name") in codes(line)
    bound = make(line, parameters={"n": {"name": 20}})
    assert ("warning", "free_name") in {(one.severity, one.code) for one in lint(bound)}
    for named in ({"choice": ["web"]}, {"pattern": "web-[0-9]+"}):
        assert "free_name" not in {code for _, code in codes(line, n=named)}
    assert "free_name" not in {code for _, code in codes(line.replace("{n}", "web-{n}"))}


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("mysqladmin {x}", "destroys"),
        ("getent {x} root", "free_verb"),
        ("date {x}", "clock"),
        ("nmcli networking {x}", "free_verb"),
        ("ps {x}", "environ"),
        ("iw dev wlan0 {x}", "free_verb"),
        ("systemctl restart web-{x}", "stops"),
        ("tee .{x}", "writes_decisive"),
        ("cat /srv/app/.{x}", "secrets_below"),
        ("ip monitor {x}", "reads"),
        ("vault {x}", "cluster_run"),
    ],
)
def test_a_value_is_told_if_it_can_be_a_dangerous_word_of_its_place(line, code):
    assert code in {found for _, found in codes(line, "read", x={"name": 40})}


@pytest.mark.parametrize(
    ("line", "pattern"),
    [
        ("mysqladmin {x}", "stat[a-z]+"),
        ("date {x}", "[+].*"),
        ("ps {x}", "[aux]+"),
        ("ps {x}", "[0-9]+"),
        ("sysctl {x}", r"vm\.[a-z_]+"),
        ("cat /srv/app/{x}", "[a-z]+"),
        ("systemctl --no-pager status {x}", "web-[0-9]+"),
    ],
)
def test_a_pattern_that_excludes_the_dangerous_words_gives_no_finding(line, pattern):
    assert not codes(line, "read", x={"pattern": pattern}) - {
        ("warning", "broad_pattern"),
        ("warning", "path_pattern"),
    }


@pytest.mark.parametrize(
    "line",
    [
        "getent passwd {n}",
        "iw dev {n} info",
        "wg show {n} peers",
        "sysctl net.ipv4.{n}",
        "ps -u {n}",
        "ip addr show dev {n}",
        "nmcli device show {n}",
    ],
)
def test_a_value_where_no_word_is_dangerous_gives_no_finding(line):
    assert codes(line, "read") == set()


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("ip link s eth0 down", "network"),
        ("ip l s eth0 down", "network"),
        ("ip xfrm s flush", "network"),
        ("ip m add x dev eth0", "network"),
        ("ip netns e a id", "starter"),
        ("bridge link s dev eth0", "network"),
        ("mysqladmin shut", "destroys"),
        ("mysqladmin dr shop", "destroys"),
        ("nmcli d w c x", "network"),
        ("nmcli d wifi show-p", "prints_secrets"),
        ("btrfs su d /srv/x", "destroys"),
    ],
)
def test_an_abbreviation_counts_as_each_word_that_it_begins(line, code):
    assert code in {found for _, found in codes(line, "read")}


@pytest.mark.parametrize(
    ("line", "choice", "code"),
    [
        ("systemctl start {u}", ["nginx", "poweroff.target"], "stops"),
        ("systemctl start {u}", ["nginx", "/srv/x.service"], "unit_file"),
        ("tee {u}", ["/srv/x", "/etc/sudoers"], "writes_decisive"),
        ("dd {u}", ["of=/srv/x"], "option_writes"),
    ],
)
def test_each_value_of_a_choice_is_judged(line, choice, code):
    assert code in {found for _, found in codes(line, u={"choice": choice})}


@pytest.mark.parametrize("root", ["/", "/etc", "/etc/cron.d", "/var", "/root", "/home/app", "/usr/local/bin"])
@pytest.mark.parametrize(
    "line",
    ["tee {x}", "cp /srv/x {x}", "rm {x}", "install -m 644 /srv/x {x}", "curl -o {x} http://a.example"],
)
def test_a_free_path_to_write_stays_away_from_what_decides(line, root):
    assert ("error", "writes_decisive") in codes(line, x={"path": root})
    assert "writes_decisive" not in {code for _, code in codes(line, x={"path": "/srv/app"})}


def test_what_is_thrown_away_is_not_written():
    assert "option_writes" not in {code for _, code in codes("curl -o /dev/null http://a.example")}


def test_a_warning_names_all_that_gives_it_once():
    (found,) = [one for one in findings("sort --frob --brof /srv/x") if one.code == "unknown_option"]
    assert "--frob" in found.message
    assert "--brof" in found.message


# Where files lie, what variables decide, and modes


@pytest.mark.parametrize(
    "path",
    [
        "//etc/sudoers",
        "/etc//sudoers",
        "/srv/../etc/sudoers",
        "/proc/self/root/etc/sudoers",
        "/proc/1/task/1/root/etc/sudoers",
    ],
)
def test_a_path_is_looked_at_as_the_system_follows_it(path):
    assert ("error", "writes_decisive") in codes(f"tee {path}")
    assert ("warning", "secret") in codes(f"cat {path}")


@pytest.mark.parametrize(
    "type_",
    [
        {"choice": ["/srv/x", "/etc/shadow"]},
        {"path": "/root/.ssh"},
        {"path": "/etc/ssl"},
        {"path": "/etc/ssl/private"},
    ],
)
def test_a_value_that_may_name_a_secret_is_told(type_):
    assert {code for _, code in codes("cat {x}", x=type_)} & {"secret", "secrets_below"}


@pytest.mark.parametrize(
    "line",
    ["grep -r x /etc", "grep -r x /", "cp -r /home/app /srv/x", "diff -r . /srv", "ln -s /root /srv/x"],
)
def test_a_folder_that_holds_secrets_is_not_read_without_a_word(line):
    assert ("warning", "secrets_below") in codes(line)


@pytest.mark.parametrize(
    "line", ["rm /var/log/wtmp", "tee /var/log/audit/x", "gzip /var/log/auth.log", "systemctl stop rsyslog"]
)
def test_whoever_touches_the_logs_of_what_was_done_is_told_to_erase_them(line):
    assert ("warning", "erases_logs") in codes(line)


@pytest.mark.parametrize("before", ["env", "sudo"])
def test_a_variable_is_known_to_do_no_harm_or_is_told(before):
    assert not {code for _, code in codes(f"{before} LC_ALL=C uptime", "read")} - {"becomes_another"}
    assert ("warning", "unknown_variable") in codes(f"{before} A_THING=x uptime")
    assert ("error", "unknown_variable") in codes(f"{before} A_THING=x uptime", "read")
    assert ("error", "environment") in codes(f"{before} DOTNET_STARTUP_HOOKS=x uptime")


@pytest.mark.parametrize(
    ("mode", "code"),
    [
        ("4755", "suid"),
        ("00002755", "suid"),
        ("u+xs", "suid"),
        ("+4000", "suid"),
        ("u-w+s", "suid"),
        ("g=rs,o+r", "suid"),
        ("o=u", "world_writable"),
        ("o-x+w", "world_writable"),
        ("+2", "world_writable"),
        ("0666", "world_writable"),
        ("a=rw", "world_writable"),
        ("u-s", None),
        ("o-w", None),
        ("1755", None),
        ("u=rwx,g=rx", None),
        ("+x", None),
        ("o=r", None),
    ],
)
def test_a_mode_gives_what_chmod_makes_of_it(mode, code):
    assert mode_code(mode) == code


def test_a_script_of_a_service_lies_where_services_lie():
    assert ("error", "relative_program") in codes("/etc/init.d/../../srv/x status", "read")


@pytest.mark.parametrize("name", ["python3", "node", "bash"])
def test_the_version_of_any_program_is_told(name):
    assert codes(f"{name} --version", "read") == set()
    assert ("error", "effect") in codes(f"{name} --version x", "read")


def test_a_scheme_alone_names_no_address():
    assert ("error", "free_name") in codes("curl http://{n}")
    assert "free_name" not in {code for _, code in codes("curl http://a.example/{n}")}


# The file itself


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("  less more most", "  bash less more most", "`bash` appears twice"),
        ("{is: shell}", "{is: shel}", "`shel` is not a danger"),
        ("  atrm: {operands: name}", "  atrm: {operand: name}", "operand"),
        ("  atrm: {operands: name}", "  atrm: {operands: nam}", "`nam` is not a kind"),
        ("  atrm: {operands: name}", "  atrm: {options: -x=nam}", "`-x=nam` is not an option"),
        ("  atrm: {operands: name}", "  atrm: {options: -x -x=}", "`-x` appears twice"),
        ("  atrm: {operands: name}", "  atrm: {effect: write}", "effect"),
        ("  atrm: {operands: name}", "  atrm: &a {operands: name}", "anchors"),
        ("  suid: {can", "  suid2: {can", "`suid` is missing"),
        (
            'severity: error, effect: change, why: "is a shell',
            'severity: bad, effect: change, why: "is a shell',
            "severity",
        ),
        ("  atrm: {operands: name}", "  atrm: {operands: name}\n  atrm: {}", "twice"),
        (
            "dangers:\n",
            (
                'dangers:\n  spare: {can: run, severity: error, why: "is not used by any", fix: "take it out'
                ' again"}\n'
            ),
            "no program has this danger",
        ),
        (
            "  atrm: {operands: name}",
            "  atrm: {abbreviates: true, verbs: {x: {verbs: {'*': {}}}}}",
            "in place of",
        ),
    ],
)
def test_a_table_with_a_slip_of_the_pen_is_refused_as_a_whole(old, new, says):
    text = PROGRAMS.read_text(encoding="utf-8")
    assert old in text
    with pytest.raises(DocumentError, match=says):
        read_table(text.replace(old, new, 1))
