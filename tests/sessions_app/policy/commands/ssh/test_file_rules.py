"""Rules for files: what they allow, what they show, and what the linter says of them."""

import pytest

from sessions_app.policy.commands.answers import CompileError, Refused
from sessions_app.policy.commands.document import digest
from sessions_app.policy.commands.kinds import (
    compile_set,
    decide,
    describe,
    forms_of,
    lint,
    parse_document,
    parse_text,
)
from sessions_app.policy.commands.ssh import tree
from sessions_app.policy.commands.ssh.decide import Allowed
from sessions_app.policy.commands.ssh.transfers import Transfer
from sessions_app.policy.documents import DocumentError

SET = """
name: release
kind: ssh
summary: Files of the application
risk: medium
parameters: {{digest: {{from: workflow.sha256}}}}
commands:
  - {{get: "/var/log/nginx/{{file}}", max: 200MB, where: {{file: {{name: 64}}}}}}
  - put: "/srv/app/releases/{{release}}.tar.gz"
    sha256: "{{digest}}"
    where: {{release: {{pattern: "[a-z0-9/.]+"}}}}
  - {{list: /srv/app/releases}}
  - {{put: /srv/app/config.json, max: 1KB, replace: true, mode: "0600", hold: true}}
  - {{run: uptime, effect: read}}
{more}
examples: {{allow: [uptime], refuse: [id]}}
"""
DIGEST = "0a" * 32


@pytest.fixture
def compiled():
    return compile_set(parse_text(SET.format(more="")), {"digest": DIGEST})


def parsed(**rule):
    data = {"name": "a", "kind": "ssh", "summary": "s", "risk": "low", "commands": [rule]}
    return parse_document(data)


@pytest.mark.parametrize(
    ("line", "transfer"),
    [
        ("get /var/log/nginx/a.log", Transfer("get", "/var/log/nginx/a.log", 200_000_000)),
        ("list /srv/app/releases", Transfer("list", "/srv/app/releases")),
        (
            "put /srv/app/releases/r.tar.gz",
            Transfer("put", "/srv/app/releases/r.tar.gz", 100_000_000, DIGEST, "0644"),
        ),
        (
            f"put /srv/app/config.json size=1000 sha256={'1' * 64}",
            Transfer("put", "/srv/app/config.json", 1000, "1" * 64, "0600", replace=True),
        ),
    ],
)
def test_a_line_names_the_transfer_that_a_rule_allows(compiled, line, transfer):
    allowed = decide(compiled, line)
    assert isinstance(allowed, Allowed)
    assert allowed.transfer == transfer
    assert allowed.line == line


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("get /etc/passwd", "expected `/var/log/nginx/{file}` instead of `/etc/passwd`"),
        ("get /var/log/nginx/../x", "must be written without"),
        ("get /var/log/nginx//a", "must be written without"),
        ("get /var/log/nginx/.", "must be written without"),
        ("get /var/log/nginx/a/", "must be written without"),
        ("get var/log/nginx/a", "is not an absolute path"),
        ("get /var/log/nginx/a\u200bb", "is not printable"),
        ("get /var/log/nginx/" + "a" * 300, "is too long"),
        ("put /srv/app/releases/a/b.tar.gz", "release must not contain “/”"),
        ("put /srv/app/releases/../../../etc/x.tar.gz", "must be written without"),
        ("put /srv/app/config.json size=1001", "the file has 1001 bytes, but at most 1 KB are allowed"),
        (f"put /srv/app/releases/r.tar.gz size=1 sha256={'1' * 64}", "the file has the SHA-256 1111"),
        ("put /srv/app/config.json size=-1", "`size=-1` is not part of the command"),
        ("put /srv/app/config.json sha256=x", "`sha256=x` is not part of the command"),
        ("get /var/log/nginx/a size=1", "`size=1` is not part of the command"),
        ("list /srv/app", "expected `/srv/app/releases` instead of `/srv/app`"),
        ("scp -f /x", "use sftp instead, as in get /x"),
        ("rsync --server . /x", "use sftp instead, as in put /x"),
        ("id", "`id` is not one of the allowed programs: `uptime`"),
    ],
)
def test_everything_else_is_refused_with_its_reason(compiled, line, reason):
    refused = decide(compiled, line)
    assert isinstance(refused, Refused)
    assert reason in refused.reason


def test_approvers_read_what_is_transferred_and_within_which_limits(compiled):
    assert [view.detail for view in describe(compiled)] == [
        ("Download files of /var/log/nginx by name, at most 200 MB each",),
        (
            "Upload new files {release}.tar.gz in /srv/app/releases, at most 100 MB each, with mode 0644",
            f"Only content with the SHA-256 {DIGEST}",
        ),
        ("List the names, sizes and times of everything in /srv/app/releases",),
        ("Upload or replace the file /srv/app/config.json, at most 1 KB, with mode 0600",),
        (),
    ]


def test_forms_run_no_transfers(compiled):
    assert forms_of(compiled).fillable(compiled) == {4}


def test_a_value_that_is_no_digest_is_refused():
    with pytest.raises(CompileError, match="64 hexadecimal digits"):
        compile_set(parse_text(SET.format(more="")), {"digest": "latest"})


@pytest.mark.parametrize(
    ("rule", "problem"),
    [
        ({"get": "/a", "run": "b", "effect": "read"}, "needs only one of run, get, put and list"),
        ({"get": "a"}, "is not an absolute path"),
        ({"get": "/a/../b"}, "must be written without"),
        ({"get": "/a/{x}{y}", "where": {"x": {"name": 1}, "y": {"name": 1}}}, "need text between them"),
        ({"get": "/a/{x}", "where": {"x": {"path": "/b"}}}, "whose values contain slashes"),
        ({"get": "/a", "as": "root"}, "`as` is not a known key"),
        ({"get": "/a", "max": "11GB"}, "needs at most 10 GB"),
        ({"put": "/a", "sha256": "abc"}, "needs 64 hexadecimal digits"),
        (
            {"put": "/{x}", "sha256": "{x}", "where": {"x": {"name": 64}}},
            "must be a parameter of the whole set",
        ),
        ({"put": "/a", "mode": "rw"}, "mode"),
        ({"run": "get a", "effect": "read"}, "write the program's full path"),
    ],
)
def test_a_rule_that_is_unclear_is_not_accepted(rule, problem):
    with pytest.raises(DocumentError) as caught:
        parsed(**rule)
    assert problem in " ".join(one.said for one in caught.value.problems)


FREE = {"where": {"x": {"name": 64}}}


@pytest.mark.parametrize(
    ("rule", "code", "severity"),
    [
        ({"put": "/etc/cron.d/{x}", **FREE}, "writes_decisive", "error"),
        ({"put": "/home/a/.ssh/authorized_keys"}, "writes_decisive", "error"),
        ({"put": "/etc/systemd/system/{x}.service", **FREE}, "writes_decisive", "error"),
        ({"put": "/etc/sudoers.d/x"}, "writes_decisive", "error"),
        ({"put": "/etc/profile.d/x.sh"}, "writes_decisive", "error"),
        ({"put": "/etc/nginx/nginx.conf"}, "writes_settings", "warning"),
        ({"put": "/var/www/html/{x}", **FREE}, "web_root", "error"),
        ({"put": "/srv/shop/public_html/{x}.html", **FREE}, "web_root", "warning"),
        ({"put": "/srv/a", "mode": "4755"}, "suid", "error"),
        ({"put": "/srv/a", "mode": "0666"}, "world_writable", "warning"),
        ({"put": "/srv/a", "effect": "read"}, "effect", "error"),
        ({"get": "/proc/1/environ"}, "kernel_file", "error"),
        ({"get": "/dev/sda"}, "kernel_file", "error"),
        ({"get": "/sys/{x}", **FREE}, "kernel_file", "error"),
        ({"get": "/etc/shadow"}, "secret", "warning"),
        ({"get": "/srv/tls/site.key"}, "secret", "warning"),
        ({"get": "/tmp/{x}", **FREE}, "writable_path", "warning"),
        ({"list": "/root"}, "secrets_below", "warning"),
    ],
)
def test_places_that_become_code_or_hold_keys_are_findings(rule, code, severity):
    assert (code, severity) in {(one.code, one.severity) for one in lint(parsed(**rule))}


@pytest.mark.parametrize(
    "rule",
    [
        {"get": "/var/log/nginx/{x}", **FREE},
        {"put": "/srv/app/releases/{x}.tar.gz", **FREE},
        {"list": "/srv/app"},
    ],
)
def test_an_everyday_rule_is_no_finding(rule):
    assert [one.code for one in lint(parsed(**rule))] == ["no_examples"]


def test_every_limit_is_part_of_what_is_approved():
    plain = digest(parsed(put="/a"))
    changed = [{"max": "1KB"}, {"mode": "0600"}, {"replace": True}, {"hold": True}, {"sha256": "0" * 64}]
    assert len({plain, *(digest(parsed(put="/a", **more)) for more in changed)}) == 6


# The tree that SFTP shows


@pytest.mark.parametrize(
    ("path", "folder"),
    [
        ("/", True),
        ("/srv", True),
        ("/srv/app", True),
        ("/srv/app/releases", True),
        ("/var/log/nginx", True),
        ("/var/log/nginx/a.log", False),
        ("/srv/app/config.json", False),
        ("/etc", False),
        ("/var/log/syslog", False),
    ],
)
def test_folders_are_what_is_above_a_rule(compiled, path, folder):
    assert tree.is_folder(compiled, path) is folder


def test_a_folder_shows_only_what_rules_write_out(compiled):
    assert tree.children(compiled, "/") == [("srv", True), ("var", True)]
    assert tree.children(compiled, "/srv/app") == [("releases", True)]
    assert tree.children(compiled, "/var/log/nginx") == []
    assert tree.has_open_names(compiled, "/var/log/nginx")
    assert not tree.has_open_names(compiled, "/srv/app")


@pytest.mark.parametrize(
    ("sent", "path"),
    [(b".", "/"), (b"", "/"), (b"a", "/a"), (b"/a/../../b", "/b"), (b"//a//b/", "/a/b"), (b"/a/./b", "/a/b")],
)
def test_a_path_from_a_client_has_one_spelling(sent, path):
    assert tree.plain(sent) == path


@pytest.mark.parametrize(
    "path",
    [
        "/var/log/nginx/a b",
        "/var/log/nginx/'x'",
        "/a\nb",
        "/a\0b",
        "/\u202e",
        "/" + "a/" * 3000,
        "/é",
        "/$(id)",
    ],
)
def test_whatever_a_client_names_is_decided_as_one_line(compiled, path):
    assert isinstance(decide(compiled, tree.line_for("get", path)), Refused)
