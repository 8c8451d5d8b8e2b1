"""What `decide` allows, an API server's own RBAC permits the account that is made; and rules allow all that
it permits.
"""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sessions_app.connectors.kubernetes.objects import Wanted
from sessions_app.policy.commands.answers import Allowed
from sessions_app.policy.commands.kinds import compile_set, decide, parse_document
from sessions_app.policy.commands.kubernetes.lines import parse_line
from sessions_app.policy.commands.kubernetes.rights import NEVER_BY_RULE, Request
from tests.support.breadth import examples
from tests.support.servers.kubernetes.rbac import GROUP, Attributes, User
from tests.support.servers.kubernetes.store import Store

TOKEN = "ab" * 16
ACCOUNT = User(
    f"system:serviceaccount:stint-grants:stint-{TOKEN}", ("system:serviceaccounts", "system:authenticated")
)
VERBS = ("get", "list", "watch", "create", "update", "patch", "delete", "deletecollection")
GROUPS = ("", "apps", "batch")
RESOURCES = ("pods", "pods/log", "pods/exec", "deployments", "deployments/scale", "jobs")
LINES = (
    "get pods -n {ns}",
    "get pods,services -n x",
    "get pods/{name} -n {ns}",
    "logs {name} -n {ns}",
    "logs -n x",
    "rollout restart deployment/{name} -n {ns}",
    "scale deployments w-1 w-2 -n {ns} --replicas 2",
    "get nodes",
    "get pods -A",
    "delete job/w-{n} -n {ns}",
    "get deployments w-{n} -n {ns} -w",
    "exec {name} -c app -n x -- id",
    "cordon {name}",
    "rollout history deployment/{name} -n x",
    "describe pod {name} -n {ns}",
    "set image deployment/{name} a=b:1 -n {ns}",
    "port-forward pod/{name} 80 -n x",
    "label pod {name} -n {ns} a=b",
    "delete pods {free} -n x",
    "scale deployment/{name} -n {ns} --replicas 3",
)


def some(words, **sizes):
    return st.lists(st.sampled_from(words), unique=True, min_size=1, max_size=4, **sizes)


@st.composite
def rules(draw):
    """A rule that the document's checks let through."""
    rule = {
        "verbs": draw(some(VERBS)),
        "groups": draw(some(GROUPS)),
        "resources": draw(some([one for one in RESOURCES if one != "pods/exec"])),
    }
    if draw(st.booleans()):
        rule["namespaces"] = draw(
            st.lists(st.sampled_from(["x", "y", "{ns}"]), unique=True, min_size=1, max_size=3)
        )
    else:
        rule["cluster"] = True
    if draw(st.booleans()):
        rule["names"] = draw(
            st.lists(st.sampled_from(["a", "{name}", "w-{n}"]), unique=True, min_size=1, max_size=3)
        )
        rule["verbs"] = [verb for verb in rule["verbs"] if verb not in ("create", "deletecollection")] or [
            "get"
        ]
    return {"rule": rule, "effect": "destructive"}


lines = st.sampled_from(LINES).map(lambda line: {"run": line, "effect": "destructive"})


def document(commands):
    for command in commands:
        said = str(command)
        if "{n}" in said:
            command["where"] = {"n": {"choice": ["1", "2"]}}
        if "{free}" in said:
            command["where"] = {"free": {"pattern": "w-[0-9]"}}
    parameters = {"ns": {"choice": ["x", "y"]}, "name": {"name": 20}}
    return parse_document(
        {
            "name": "a",
            "kind": "kubernetes",
            "summary": "s",
            "risk": "low",
            "parameters": parameters,
            "commands": commands,
        }
    )


def account_of(compiled) -> Store:
    """A store with what the connector makes for the set."""
    store = Store()
    for namespace, found in compiled.rules().items():
        wanted = Wanted(TOKEN, "GR-7F3K", "alice", "stint-grants", namespace, found)
        kinds = ("roles", "rolebindings") if namespace else ("clusterroles", "clusterrolebindings")
        for plural, made in zip(kinds, (wanted.role(), wanted.binding()), strict=True):
            made["metadata"]["namespace"] = namespace
            store.objects.setdefault((GROUP, plural), {})[namespace, made["metadata"]["name"]] = made
    return store


def server_permits(store: Store, request: Request) -> bool:
    resource, _, sub = request.resource.partition("/")
    asked = Attributes(request.verb, request.group, resource, sub, request.name, request.namespace)
    return store.rbac.allowed(ACCOUNT, asked)


requests = st.builds(
    Request,
    verb=st.sampled_from(VERBS),
    group=st.sampled_from(GROUPS),
    resource=st.sampled_from((*RESOURCES, "services")),
    name=st.sampled_from(["", "a", "b", "shop", "w-1", "w-2", "w-3"]),
    namespace=st.sampled_from(["", "x", "y", "z"]),
)


def line_of(request: Request) -> str:
    resource, _, sub = request.resource.partition("/")
    words = ["auth can-i", request.verb, f"{resource}.v1.{request.group}", request.name]
    words += [f"-n {request.namespace}" if request.namespace else "-A", f"--subresource={sub}" if sub else ""]
    return " ".join(filter(None, words))


def asks_nothing_odd(request: Request) -> bool:
    """An API server knows no name when something is created or a whole list is deleted."""
    return not (
        request.name and request.verb in ("create", "deletecollection") and "/" not in request.resource
    )


ASKED = st.lists(requests.filter(asks_nothing_odd), min_size=8, max_size=8)


@settings(max_examples=examples(600))
@given(st.lists(rules(), min_size=1, max_size=4), ASKED)
def test_decide_answers_for_rules_as_the_api_server_does(commands, asked):
    compiled = compile_set(document(commands), {"ns": "x", "name": "shop"})
    store = account_of(compiled)
    for request in asked:
        if request.resource not in NEVER_BY_RULE:
            verdict = decide(compiled, line_of(request))
            assert isinstance(verdict, Allowed) == server_permits(store, request), (request, verdict)


@settings(max_examples=examples(400))
@given(st.lists(st.one_of(rules(), lines), min_size=1, max_size=4), ASKED)
def test_what_decide_allows_the_api_server_permits(commands, asked):
    compiled = compile_set(document(commands), {"ns": "x", "name": "shop"})
    store = account_of(compiled)
    for request in asked:
        if isinstance(decide(compiled, line_of(request)), Allowed):
            assert server_permits(store, request), request


def written(line: str) -> str:
    return line.replace("{ns}", "x").replace("{name}", "shop").replace("{n}", "1").replace("{free}", "w-7")


@settings(max_examples=examples(300))
@given(st.lists(st.one_of(rules(), lines), min_size=1, max_size=4), st.sampled_from(LINES))
def test_a_line_that_is_allowed_is_permitted_in_all_that_it_sends(commands, line):
    compiled = compile_set(document(commands), {"ns": "x", "name": "shop"})
    sent = [
        request for step in parse_line(written(line), document=False) for request in step.right.requests()
    ]
    store = account_of(compiled)
    if isinstance(decide(compiled, written(line)), Allowed):
        assert all(server_permits(store, one) for one in sent)


@pytest.mark.parametrize("line", LINES)
def test_what_a_document_lists_works_in_its_grants(line):
    compiled = compile_set(document([{"run": line, "effect": "destructive"}]), {"ns": "x", "name": "shop"})
    assert isinstance(decide(compiled, written(line)), Allowed)


@settings(max_examples=examples(200))
@given(st.lists(st.one_of(rules(), lines), min_size=2, max_size=4), st.data())
def test_leaving_commands_out_never_gives_more(commands, data):
    whole = compile_set(document(commands), {"ns": "x", "name": "shop"})
    keep = data.draw(st.sets(st.integers(0, len(commands) - 1)))
    less = compile_set(document(commands), {"ns": "x", "name": "shop"}, keep)
    for request in data.draw(st.lists(requests.filter(asks_nothing_odd), min_size=5, max_size=5)):
        if isinstance(decide(less, line_of(request)), Allowed):
            assert isinstance(decide(whole, line_of(request)), Allowed)
