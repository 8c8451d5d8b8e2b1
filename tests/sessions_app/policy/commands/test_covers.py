"""Whatever a delegated set allows, the set that it was delegated from allows, and as strictly. For every
kind.
"""

from typing import Any

import pytest
from hypothesis import assume, event, given, settings
from hypothesis import strategies as st

from sessions_app.policy.commands.answers import Allowed, CompileError
from sessions_app.policy.commands.document import EFFECT_RANK
from sessions_app.policy.commands.http.contents import ABSENT, read_words
from sessions_app.policy.commands.http.decide import decide_request
from sessions_app.policy.commands.http.limits import response_within
from sessions_app.policy.commands.kinds import compile_set, covers, decide, parse_document
from sessions_app.policy.commands.postgres.statements import Runs, decide_text
from sessions_app.policy.commands.within import accepts, type_within
from sessions_app.policy.documents import DocumentError
from tests.support.breadth import examples

# What stands in a place, from a type that gives more to ones that give less, and some that have nothing to do
# with it.
TYPES: list[dict[str, Any]] = [
    {"choice": ["a", "b", "c"]},
    {"choice": ["a"]},
    {"choice": ["1", "2"]},
    {"int": [1, 9]},
    {"int": [1, 3]},
    {"int": [-2, 2]},
    {"name": 3},
    {"name": 1},
    {"pattern": "[a-c]+"},
    {"pattern": "[a-c]"},
    {"path": "/a"},
    {"path": "/a/b"},
    {"cidr": ["10.0.0.0/8"]},
    {"cidr": ["10.1.0.0/16"]},
    {"duration": ["1s", "5m"]},
    {"duration": ["1s", "10s"]},
]
VALUES = [
    "a",
    "b",
    "c",
    "ab",
    "1",
    "2",
    "3",
    "9",
    "-2",
    "/a/x",
    "/a/b/c",
    "10.1.2.3",
    "10.9.0.0/16",
    "5s",
    "2m",
    "d",
    "",
]
types = st.sampled_from(TYPES)
effects = st.sampled_from(list(EFFECT_RANK))


def document(kind: str, commands: list[dict[str, Any]], parameters: dict[str, Any]) -> Any:
    data = {"name": "a-set", "kind": kind, "summary": "For a test", "risk": "low", "commands": commands}
    try:
        return parse_document({**data, "parameters": parameters})
    except DocumentError:
        assume(False)


def compiled(
    kind: str, commands: list[dict[str, Any]], parameters: dict[str, Any], bindings: dict[str, str], keep=None
):
    used = {
        name: type_
        for name, type_ in parameters.items()
        if any(f"{{{name}}}" in str(one) for one in commands)
    }
    try:
        return compile_set(
            document(kind, commands, used),
            {name: value for name, value in bindings.items() if name in used},
            keep,
        )
    except CompileError:
        assume(False)


def varied(data, commands, others):
    """What is delegated: other commands, fewer of the same, or the same with other types; and which
    are kept.
    """
    how = data.draw(st.sampled_from(["other", "fewer", "retyped"]))
    if how == "fewer":
        return commands, data.draw(st.sets(st.integers(0, len(commands) - 1), min_size=1))
    if how == "retyped":
        return [
            {
                **one,
                "where": {
                    name: type_ if name == "f" else data.draw(types)
                    for name, type_ in one.get("where", {}).items()
                },
            }
            for one in commands
        ], None
    return others, None


def holds_for(parent, child, lines: list[str]) -> None:
    """Where the one covers the other, no line is allowed by the other alone, nor less strictly, nor told as
    less.
    """
    if covers(parent, child) is not None:
        event("not covered")
        return
    event("covered")
    for line in lines:
        asked = decide(child, line)
        if isinstance(asked, Allowed):
            event("allowed")
            given_ = decide(parent, line)
            assert isinstance(given_, Allowed), line
            assert asked.hold or not given_.hold, line
            assert (asked.finish_seconds or 0) <= (given_.finish_seconds or 0), line
            assert EFFECT_RANK[asked.effect] <= EFFECT_RANK[given_.effect], line


@pytest.mark.parametrize("inner", TYPES, ids=str)
def test_each_value_of_a_type_that_is_within_another_is_one_of_the_other(inner):
    made = [typed(inner), *map(typed, TYPES)]
    for outer in made[1:]:
        if type_within(made[0], outer):
            assert all(accepts(outer, value) for value in VALUES if accepts(made[0], value)), outer
    assert type_within(made[0], typed(inner))


def typed(written: dict[str, Any]) -> Any:
    return (
        document("ssh", [{"run": "act {x}", "effect": "read", "where": {"x": written}}], {})
        .commands[0]
        .where["x"]
    )


# SSH


@pytest.mark.parametrize(
    ("outer", "inner", "why"),
    [
        ("pidns", "group", "would contain its processes less strictly"),
        ("pidns", "pidns", None),
        ("group", "pidns", None),
    ],
)
def test_a_part_contains_its_processes_as_strictly(outer, inner, why):
    def made(contain: str) -> Any:
        return compiled("ssh", [{"run": "act a", "effect": "read", "contain": contain}], {}, {})

    said = covers(made(outer), made(inner))
    assert said is None if why is None else why in str(said)


RUNS = [
    "act {x}",
    "act {x} {y}",
    "act a",
    "act b",
    "act 1",
    "act {x}:{y}",
    "act {x} {x}",
    "act a {y}",
    "act {p}",
    "go {x}",
    "act {p} {y}",
    "act '' a",
]


@st.composite
def ssh_commands(draw):
    commands = []
    for run in draw(st.lists(st.sampled_from(RUNS), min_size=1, max_size=4)):
        free = {name: draw(types) for name in ("x", "y") if f"{{{name}}}" in run}
        command = {
            "run": run,
            "effect": draw(effects),
            "where": free,
        }
        if draw(st.booleans()):
            command["hold"] = True
        if draw(st.booleans()):
            command["end"] = {"finish": draw(st.sampled_from(["1m", "5m"]))}
        commands.append(command)
    return commands


LINES = st.lists(
    st.lists(st.sampled_from([*VALUES[:-1], "''", "a:b", "a:1", "1:2", "a:a:b"]), max_size=2).map(
        lambda words: " ".join(["act", *words])
    ),
    min_size=30,
    max_size=60,
)


@settings(max_examples=examples(150))
@given(
    ssh_commands(),
    ssh_commands(),
    st.sampled_from(["a", "b", "1"]),
    st.sampled_from(["a", "b", "1"]),
    LINES,
    st.data(),
)
def test_command_lines(commands, others, bound, other, lines, data):
    parameters = {"p": {"name": 9}}
    parent = compiled("ssh", commands, parameters, {"p": bound})
    others, keep = varied(data, commands, others)
    child = compiled("ssh", others, parameters, {"p": other}, keep)
    holds_for(parent, child, lines)


FILE_PATHS = ["/f/{x}", "/f/a", "/f/{x}.b", "/f/{x}/{y}", "/f/{p}", "/f"]
MARKED = st.sampled_from([{}, {"sha256": "{d}"}, {"sha256": "0" * 64}])


@st.composite
def file_rules(draw):
    rules = []
    for path in draw(st.lists(st.sampled_from(FILE_PATHS), min_size=1, max_size=4)):
        verb = draw(st.sampled_from(["get", "put", "list"]))
        rule: dict[str, Any] = {verb: path, "effect": draw(effects)}
        rule["where"] = {name: draw(types) for name in ("x", "y") if f"{{{name}}}" in path}
        if verb != "list":
            rule |= {"max": draw(st.sampled_from(["1KB", "2KB"])), "hold": draw(st.booleans())}
        if verb == "put":
            modes = st.sampled_from(["0644", "0600"])
            rule |= {"replace": draw(st.booleans()), "mode": draw(modes), **draw(MARKED)}
        rules.append(rule)
    return rules


STATED = ["", " size=1", " size=1500 sha256=" + "0" * 64, " sha256=" + "1" * 64]
TRANSFERS = st.lists(
    st.tuples(
        st.sampled_from(["get", "put", "list"]),
        st.sampled_from(
            ["/f", "/f/a", "/f/b", "/f/1", "/f/a.b", "/f/a/b", "/f/a/1", "/f/..", "/f/../a", "/e"]
        ),
        st.sampled_from(STATED),
    ).map(lambda said: f"{said[0]} {said[1]}{said[2] if said[0] == 'put' else ''}"),
    min_size=30,
    max_size=60,
)


@settings(max_examples=examples(150))
@given(file_rules(), file_rules(), st.sampled_from(["a", "b"]), st.sampled_from("01"), TRANSFERS, st.data())
def test_files(rules, others, bound, digit, lines, data):
    parameters = {"p": {"name": 9}, "d": {"from": "workflow.sha256"}}
    values = {"p": bound, "d": digit * 64}
    parent = compiled("ssh", rules, parameters, values)
    others, keep = varied(data, rules, others)
    child = compiled("ssh", others, parameters, {**values, "d": "0" * 64}, keep)
    holds_for(parent, child, lines)
    if covers(parent, child) is None:
        for asked, given_ in ((decide(child, line), decide(parent, line)) for line in lines):
            if isinstance(asked, Allowed):
                inner, outer = asked.transfer, given_.transfer
                assert inner.most <= outer.most
                assert inner.mode == outer.mode
                assert outer.replace or not inner.replace
                assert inner.sha256 == outer.sha256 or not outer.sha256


# HTTP

REQUESTS = [
    "GET /t/{x}",
    "GET /t/{x}/{y}",
    "GET /t/a",
    "GET /t/{p}",
    "POST /t/{x}",
    "POST /t/a",
    "GET /t/x-{x}",
    "GET /t/x-a",
    "GET /t/{x}/a",
    "GET /t{f}",
    "GET /t/a/{y}",
    "GET /t/{x}/{x}",
]
DENIES = ["GET /t/a", "* /t/{p}", "GET /t/a/b", "GET /t/{x}/b"]


RESPONSES = [{"fields": ["a"]}, {"fields": ["a.b"]}, {"max": "1MB"}, {"max": "2MB", "time": "5s"}]
SIZES = [{"max": "1KB", "types": ["text/css"]}, {"max": "2KB", "types": ["text/css", "text/csv"]}]


@st.composite
def http_limits(draw, content: str) -> dict[str, Any]:
    """What only the gateway enforces. An answer with fields is no stream."""
    limits: dict[str, Any] = {"hold": draw(st.booleans()), "stream": draw(st.booleans())}
    if draw(st.booleans()):
        limits["response"] = draw(st.sampled_from(RESPONSES[2:] if limits["stream"] else RESPONSES))
    if content == "upload":
        limits["upload"] = draw(st.sampled_from(SIZES))
    if content == "form" and draw(st.booleans()):
        limits["files"] = {"f": draw(st.sampled_from(SIZES))}
    return limits


@st.composite
def http_commands(draw):
    commands: list[dict[str, Any]] = []
    for request in draw(st.lists(st.sampled_from(REQUESTS), min_size=1, max_size=3)):
        free: dict[str, Any] = {name: draw(types) for name in ("x", "y") if f"{{{name}}}" in request}
        if "{f}" in request:
            free["f"] = draw(st.sampled_from([{"path": "/a"}, {"path": "/a/b"}, {"path": "/"}]))
        command: dict[str, Any] = {"request": request, "effect": draw(effects), "where": free}
        kinds_ = ["body", "body", "form", "upload"] if request.startswith("POST") else ["body"]
        content = draw(st.sampled_from(kinds_))
        for where in ("query", content, "headers"):
            if where == "upload":
                continue
            if draw(st.booleans()):
                limited = {
                    name: draw(st.one_of(types, st.sampled_from(["a", "b", "{x}", 1])))
                    for name in draw(st.sets(st.sampled_from(["q", "r"])))
                }
                if where == "headers" and draw(st.booleans()):
                    continue
                limited = {name: v for name, v in limited.items() if v != "{x}" or "x" in free}
                command[where] = limited
                if limited and draw(st.booleans()):
                    command["optional"] = list({*command.get("optional", []), *limited})
        commands.append({**command, **draw(http_limits(content))})
    denies = draw(st.lists(st.sampled_from(DENIES), max_size=2))
    return commands + [
        {"deny": deny, "where": {"x": draw(types)} if "{x}" in deny else {}} for deny in denies
    ]


PATHS = [
    "/t/a",
    "/t/b",
    "/t/1",
    "/t/x-a",
    "/t/a/b",
    "/t/a/a",
    "/t/1/1",
    "/t/a/b/c",
    "/t/ab",
    "/t/2",
    "/t/a/x",
    "/t/c/a",
]
TAILS = ["", "", "?q=a", "?q=1", "?q=a&r=b", "?r=1"]
SHA = "0123456789abcdef" * 4
FILES = [
    f' upload {{"bytes":{size},"sha256":"{SHA}","type":"text/{kind}"}}'
    for size in (500, 1500)
    for kind in ("css", "csv")
]
BODIES = [
    *FILES,
    f' form {{"f":{{"bytes":1500,"name":"a","sha256":"{SHA}","type":"text/css"}}}}',
    ' headers {"q":"a"}',
    ' headers {"q":"a","r":"1"} {}',
    ' form {"q":"a"}',
    ' form {"q":"1","r":"a"}',
    " form {}",
    "",
    "",
    " {}",
    ' {"q":"a"}',
    ' {"q":1}',
    ' {"q":"a","r":"b"}',
    ' {"r":"1"}',
    ' {"q":1,"r":"a"}',
]
EVERY_LINE = [
    f"{method} {path}{tail}{body}"
    for method in ("GET", "POST")
    for path in PATHS
    for tail in dict.fromkeys(TAILS)
    for body in dict.fromkeys(BODIES)
]
# Each seventh one: too few of them are allowed to choose them freely.
HTTP_LINES = st.integers(0, 6).map(lambda first: EVERY_LINE[first::7])


def holds_for_answers(parent, child, lines: list[str]) -> None:
    """Where the one covers the other, no stream may be asked for by the other alone, and no more is
    answered.
    """
    if covers(parent, child) is None:
        for line in lines:
            method, target, *words = line.split(" ", 2)
            headers, body = read_words(words[0]) if words else ({}, ABSENT)
            for stream in (False, True):
                ours, theirs = (
                    decide_request(one, method, target, body, headers=headers, stream=stream)
                    for one in (child, parent)
                )
                if isinstance(ours, Allowed):
                    event(f"allowed, a stream: {stream}")
                    assert isinstance(theirs, Allowed), line
                    assert ours.hold or not theirs.hold
                    assert response_within(ours.command.allows.response, theirs.command.allows.response), line


@settings(max_examples=examples(150))
@given(
    http_commands(),
    http_commands(),
    st.sampled_from(["a", "b", "1"]),
    st.sampled_from(["a", "b", "1"]),
    HTTP_LINES,
    st.data(),
)
def test_requests(commands, others, bound, other, lines, data):
    parameters = {"p": {"name": 9}}
    parent = compiled("http", commands, parameters, {"p": bound})
    others, keep = varied(data, commands, others)
    child = compiled("http", others, parameters, {"p": other}, keep)
    holds_for(parent, child, lines)
    holds_for_answers(parent, child, lines)


# Kubernetes

KUBE = [
    {"run": "get pods -n {ns}"},
    {"run": "get pods web -n {ns}"},
    {"run": "get pods -n shop"},
    {"run": "delete pod web -n {ns}"},
    {"run": "logs web -n {ns}"},
    {"run": "rollout restart deployment/{x} -n {ns}", "where": {"x": {"choice": ["web", "api"]}}},
    {"run": "rollout restart deployment/web -n {ns}"},
    {"run": "get pods -A"},
    {"rule": {"verbs": ["get", "list"], "groups": [""], "resources": ["pods"], "namespaces": ["{ns}"]}},
    {
        "rule": {
            "verbs": ["get"],
            "groups": ["", "apps"],
            "resources": ["pods", "deployments"],
            "cluster": True,
        }
    },
    {"rule": {"verbs": ["*"], "groups": ["*"], "resources": ["*"], "namespaces": ["{ns}"]}},
    {
        "rule": {
            "verbs": ["get"],
            "groups": [""],
            "resources": ["pods"],
            "names": ["web"],
            "namespaces": ["{ns}"],
        }
    },
    {"run": "scale deployment/web -n {ns} --replicas {n}", "where": {"n": {"int": [1, 3]}}},
    {"run": "scale deployment/web -n {ns} --replicas 2", "hold": True},
    {"run": "scale deployment/{d} -n {ns} --replicas {n}", "where": {"d": {"name": 9}, "n": {"int": [1, 5]}}},
    {"run": "scale deployment/web -n {ns}"},
    {"run": "set image deployment/web -n {ns} app={i}", "where": {"i": {"choice": ["a:1", "a:2"]}}},
    {"run": "set image deployment/web -n shop app=a:1"},
    {
        "run": "exec {p} -c app -n {ns} -- tail -n {n} {f}",
        "where": {"p": {"name": 9}, "n": {"int": [1, 9]}, "f": {"path": "/var/log"}},
    },
    {"run": "exec web -c app -n {ns} -- tail -n 5 /var/log/a", "end": {"finish": "1m"}},
    {"run": "exec web -c app -i -n {ns} -- tail -n {n} /var/log/a", "where": {"n": {"int": [5, 6]}}},
    {"run": "logs {p} -n {ns} -f", "where": {"p": {"name": 9}}},
    {"run": "port-forward pod/web {p} -n {ns}", "where": {"p": {"choice": ["80", "81"]}}},
    {"run": "port-forward pod/web 80 -n {ns}"},
    {"run": "delete pod {p} -n {ns}", "where": {"p": {"name": 9}}, "hold": True},
    {"run": "label pod web -n {ns} a={v}", "where": {"v": {"choice": ["b", "c"]}}},
    {
        "apply": {
            "kind": "Deployment",
            "apiVersion": "apps/v1",
            "namespaces": ["{ns}"],
            "names": ["web"],
            "fields": {"spec.replicas": {"int": [1, 4]}, "spec.paused": True},
        }
    },
    {
        "apply": {
            "kind": "Deployment",
            "apiVersion": "apps/v1",
            "namespaces": ["{ns}"],
            "fields": {"spec.replicas": {"int": [2, 3]}},
            "create": True,
        }
    },
]
KUBE_LINES = (
    [
        f"{verb} -n {space}"
        for space in ("shop", "blog")
        for verb in (
            "get pods",
            "get pods web",
            "get pods api",
            "delete pod web",
            "logs web",
            "rollout restart deployment/web",
            "rollout restart deployment/api",
            "get deployments",
            "get secrets",
            "scale deployment/web --replicas 2",
            "scale deployment/api --replicas 5",
            "set image deployment/web app=a:1",
            "set image deployment/web app=a:2",
            "logs web -f",
            "port-forward pod/web 80",
            "port-forward pod/web 81",
            "label pod web a=b",
            "label pod web a=c",
            "delete pod api",
            "apply deployment/web spec.replicas=3",
            "apply deployment/api spec.replicas=4",
            "apply deployments name=web spec.replicas=2",
        )
    ]
    + ["get pods -A", "get deployments -A", "get secrets -A"]
    + [
        f"exec {pod} -c app {stdin} -n {space} -- tail -n {n} /var/log/{file}"
        for space in ("shop", "blog")
        for pod in ("web", "api")
        for stdin in ("", "-i")
        for n in (5, 7)
        for file in ("a", "b")
    ]
)
kube_commands = st.lists(st.sampled_from(KUBE), min_size=1, max_size=4).map(
    lambda found: [{"effect": "read", **one} for one in found]
)


@settings(max_examples=examples(60))
@given(kube_commands, kube_commands, st.sampled_from(["shop", "blog"]), st.sampled_from(["shop", "blog"]))
def test_rights(commands, others, bound, other):
    parameters = {"ns": {"name": 20}}
    holds_for(
        compiled("kubernetes", commands, parameters, {"ns": bound}),
        compiled("kubernetes", others, parameters, {"ns": other}),
        KUBE_LINES,
    )


# PostgreSQL

GRANTS = [
    "SELECT ON app.orders",
    "SELECT (id) ON app.orders",
    "SELECT (id, status) ON app.orders",
    "UPDATE (status) ON app.orders",
    "SELECT, UPDATE ON app.{t}",
    "SELECT ON {t}.orders",
    "EXECUTE ON FUNCTION app.close(integer)",
    "ROLE reader",
    "USAGE ON SCHEMA app",
    "SELECT ON app.{x}",
]
PG_LINES = [
    *(one for one in GRANTS if "{" not in one),
    "SELECT (secret) ON app.orders",
    "UPDATE ON app.orders",
    "SELECT ON app.items",
    "SELECT ON other.orders",
    "ROLE writer",
    "USAGE ON SCHEMA other",
    "EXECUTE ON FUNCTION app.close(text)",
    "SELECT ON orders.orders",
]
pg_commands = st.lists(st.sampled_from(GRANTS), min_size=1, max_size=4).map(
    lambda found: [
        {
            "grant": one,
            "effect": "read",
            "where": {"x": {"choice": ["items", "orders"]}} if "{x}" in one else {},
        }
        for one in found
    ]
)


@settings(max_examples=examples(60))
@given(pg_commands, pg_commands, st.sampled_from(["orders", "items"]), st.sampled_from(["orders", "items"]))
def test_privileges(commands, others, bound, other):
    parameters = {"t": {"name": 20}}
    holds_for(
        compiled("postgres", commands, parameters, {"t": bound}),
        compiled("postgres", others, parameters, {"t": other}),
        PG_LINES,
    )


# What has to be covered, so that the rules are not empty


def ssh(*commands: dict[str, Any] | str, **bindings: str):
    rules = [
        {"run": one, "effect": "read"} if isinstance(one, str) else {"effect": "read", **one}
        for one in commands
    ]
    return compiled("ssh", rules, {"unit": {"choice": ["nginx", "haproxy"]}}, bindings)


FREE = {"run": "log {unit} {n}", "where": {"n": {"int": [1, 1000]}}}
LESS = {"run": "log {unit} {n}", "where": {"n": {"int": [1, 10]}}}


def test_what_is_narrower_in_each_way_is_covered():
    parent = ssh(FREE, "restart {unit}", unit="nginx")
    for child in (
        ssh(LESS, unit="nginx"),
        ssh("restart nginx"),
        ssh("log nginx 5"),
        ssh(),
        parent,
    ):
        assert covers(parent, child) is None


# Statements

SQL = [
    "UPDATE app.t SET a = {x} WHERE b = {y}",
    "UPDATE app.t SET a = {x} WHERE b = {x}",
    "UPDATE app.t SET a = 'a' WHERE b = {y}",
    "UPDATE app.t SET a = {p} WHERE b = {y}",
    "UPDATE app.t SET a = {x}::text WHERE b = 1",
    "UPDATE app.t SET a = NULL WHERE b = {y}",
    "SELECT a FROM app.t WHERE b = {x} LIMIT {y}",
    "SELECT a FROM app.t WHERE b = 'a' LIMIT 2",
    "SELECT a FROM app.t WHERE b = {p}",
    "SELECT a, c FROM app.t WHERE b = {y} LIMIT 1",
]
LIMITS: list[dict[str, Any]] = [
    {"tables": ["app.t"], "columns": ["a", "b"], "where": "required", "limit": 2},
    {"tables": ["app.t"], "columns": ["a", "b", "c"], "where": "required", "limit": 9},
    {"tables": ["app.t"], "columns": ["a", "b"]},
    {"tables": ["app.u"], "columns": ["a", "b"]},
]


@st.composite
def sql_commands(draw):
    commands = []
    for _ in range(draw(st.integers(1, 3))):
        command: dict[str, Any] = {"effect": draw(effects), "hold": draw(st.booleans())}
        if draw(st.booleans()):
            command["end"] = {"finish": draw(st.sampled_from(["1m", "5m"]))}
        form = draw(st.sampled_from(["sql", "sql", "select", "call"]))
        if form == "select":
            command["select"] = draw(st.sampled_from(LIMITS))
        else:
            text = "app.f({x})" if form == "call" else draw(st.sampled_from(SQL))
            command[form] = text
            command["where"] = {name: draw(types) for name in ("x", "y") if f"{{{name}}}" in text}
            if form == "sql":
                command["max_rows"] = draw(st.sampled_from([None, 1, 9]))
        commands.append(command)
    return commands


CONSTANTS = [*(f"'{value}'" for value in VALUES[:-1]), "1", "2", "-2", "'a'::text", "'1'::int", "NULL"]
SQL_LINES = [
    *(f"UPDATE app.t SET a = {a} WHERE b = {b}" for a in CONSTANTS for b in CONSTANTS),
    *(f"SELECT a FROM app.t WHERE b = {b} LIMIT {n}" for b in CONSTANTS for n in ("1", "2", "'9'")),
    *(f"SELECT a FROM app.t WHERE b = {b}" for b in CONSTANTS),
    *(f"SELECT a, c FROM app.t WHERE b = {b} LIMIT 1" for b in CONSTANTS),
    *(f"SELECT app.f({a})" for a in CONSTANTS),
    "SELECT a FROM app.t",
    "SELECT a FROM app.u WHERE b = 1 LIMIT 1",
    "SELECT count(*) FROM app.t WHERE b = 1",
]


@settings(max_examples=examples(150))
@given(
    sql_commands(),
    sql_commands(),
    st.sampled_from(["a", "b", "1"]),
    st.sampled_from(["a", "b", "1"]),
    st.integers(0, 3),
    st.data(),
)
def test_statements(commands, others, bound, other, first, data):
    parameters = {"p": {"name": 9}}
    parent = compiled("postgres", commands, parameters, {"p": bound})
    others, keep = varied(data, commands, others)
    child = compiled("postgres", others, parameters, {"p": other}, keep)
    lines = SQL_LINES[first::4]
    holds_for(parent, child, lines)
    if covers(parent, child) is None:
        for line in lines:
            (ours,), (theirs,) = decide_text(child, line), decide_text(parent, line)
            if isinstance(ours, Runs):
                assert theirs.max_rows is None or (ours.max_rows or 10) <= theirs.max_rows, line


def sql(*commands: Any, **bound: str) -> Any:
    made = [{"effect": "change", **one} for one in commands]
    return compiled("postgres", made, {name: {"name": 9} for name in bound}, bound)


FREE_SQL = {"sql": SQL[0], "where": {"x": {"name": 9}, "y": {"int": [1, 9]}}}


@pytest.mark.parametrize(
    ("outer", "inner", "says"),
    [
        (FREE_SQL, FREE_SQL | {"where": {"x": {"choice": ["a"]}, "y": {"int": [1, 3]}}}, None),
        (FREE_SQL, {"sql": "UPDATE app.t SET a = 'a' WHERE b = 3"}, None),
        (FREE_SQL, {"sql": "UPDATE app.t SET a = 'a' WHERE b = 10"}, "not covered"),
        (FREE_SQL, {"sql": "UPDATE app.t SET a = 'a'"}, "not covered"),
        (FREE_SQL | {"max_rows": 1}, FREE_SQL, "could change more rows"),
        (FREE_SQL | {"hold": True}, FREE_SQL, "without the approval"),
        (FREE_SQL | {"hold": True, "explain": True}, FREE_SQL | {"hold": True}, "without its plan"),
        (FREE_SQL, FREE_SQL | {"end": {"finish": "1m"}}, "longer after the grant ends"),
        ({"select": LIMITS[1]}, {"select": LIMITS[0]}, None),
        ({"select": LIMITS[0]}, {"select": LIMITS[1]}, "not covered"),
        ({"select": LIMITS[0]}, {"sql": SQL[7]}, None),
        ({"select": LIMITS[0]}, {"sql": SQL[6], "where": FREE_SQL["where"]}, "not covered"),
        ({"grant": "SELECT ON app.t"}, {"select": LIMITS[0]}, "covered by privileges"),
    ],
)
def test_statements_are_delegated_with_values_filled_or_narrowed(outer, inner, says):
    found = covers(sql(outer), sql(inner))
    assert found is None if says is None else says in str(found)


@pytest.mark.parametrize(
    ("child", "says"),
    [
        (ssh(FREE, unit="haproxy"), "not covered by the grant"),
        (ssh("stop {unit}", unit="nginx"), "not covered by the grant"),
        (ssh({**FREE, "run": "log {unit} 1{n}"}, unit="nginx"), "not covered by the grant"),
        (ssh({"run": "restart nginx", "end": {"finish": "5m"}}), "longer after the grant ends"),
    ],
)
def test_what_is_wider_in_one_way_is_not_and_says_which(child, says):
    assert says in covers(ssh(FREE, "restart {unit}", unit="nginx"), child)


def test_a_second_person_that_is_waited_for_is_waited_for_in_what_is_delegated():
    held = {"run": "restart {unit}", "hold": True}
    assert "the approval that each run requires" in covers(ssh(held, unit="nginx"), ssh("restart nginx"))
    assert covers(ssh(held, unit="nginx"), ssh({"run": "restart nginx", "hold": True})) is None
    wide = {"run": "{verb} nginx".replace("{verb}", "restart"), "hold": True}
    assert "the approval that each run requires" in covers(
        ssh("restart {unit}", wide, unit="nginx"), ssh("restart {unit}", unit="nginx")
    )


def test_a_value_that_can_be_what_is_held_waits_as_well():
    free, held = {"run": "restart {x}", "where": {"x": {"name": 9}}}, {"run": "restart nginx", "hold": True}
    assert "the approval that each run requires" in covers(ssh(free, held), ssh(free))


def test_what_is_denied_stays_denied():
    allow = {"request": "GET /t/{x}", "effect": "read", "where": {"x": {"name": 9}}}
    deny = {"deny": "GET /t/secret"}
    parent = compiled("http", [allow, deny], {}, {})
    assert covers(parent, compiled("http", [allow, deny], {}, {})) is None
    assert "denied" in covers(parent, compiled("http", [allow], {}, {}))
    assert (
        covers(parent, compiled("http", [{**allow, "request": "GET /t/open", "where": {}}], {}, {})) is None
    )


def upload(most: str, *kinds_: str) -> dict[str, Any]:
    return {"request": "PUT /t/{x}", "effect": "change", "upload": {"max": most, "types": list(kinds_)}}


HTTP_ONE = {"request": "GET /t/{x}", "effect": "read", "where": {"x": {"name": 9}}}


@pytest.mark.parametrize(
    ("outer", "inner", "says"),
    [
        ({"hold": True}, {}, "the approval that each request requires"),
        ({"response": {"fields": ["a"]}}, {}, "more of a response"),
        ({"response": {"fields": ["a"]}}, {"response": {"fields": ["a", "b"]}}, "more of a response"),
        ({"response": {"max": "1MB"}}, {"response": {"max": "2MB"}}, "more of a response"),
        ({}, {"websocket": True}, "not covered"),
        ({"headers": {"h": "a"}}, {}, "not covered"),
        ({}, {"headers": {"h": "a"}}, "not covered"),
        ({"headers": {"h": "a"}, "optional": ["h"]}, {}, "not covered"),
        ({"body": {}}, {}, "not covered"),
        ({}, {"body": {}}, "not covered"),
        (upload("1KB", "text/css"), upload("2KB", "text/css"), "not covered"),
        (upload("1KB", "text/css"), upload("1KB", "text/css", "text/csv"), "not covered"),
    ],
)
def test_what_the_gateway_enforces_is_enforced_in_what_is_delegated(outer, inner, says):
    parent = compiled("http", [{**HTTP_ONE, **outer}], {}, {})
    assert says in covers(parent, compiled("http", [{**HTTP_ONE, **inner}], {}, {}))
    assert covers(parent, compiled("http", [{**HTTP_ONE, **outer}], {}, {})) is None


def test_sets_of_different_kinds_are_never_within_each_other():
    assert "be covered" in covers(
        ssh("restart nginx"), compiled("postgres", [{"grant": "ROLE reader", "effect": "read"}], {}, {})
    )
