"""Lines of kubectl, read as rights; what can't be read is refused with what to do."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sessions_app.policy.commands.answers import Allowed, CompileError, Refused
from sessions_app.policy.commands.document import RuleRefused
from sessions_app.policy.commands.kinds import compile_open, compile_set, decide, describe, parse_text
from sessions_app.policy.commands.kubernetes.lines import parse_line
from sessions_app.policy.documents import DocumentError

SET = """\
name: restart-shop
kind: kubernetes
summary: Restart a deployment
risk: medium
parameters:
  ns: {choice: [web, api]}
  name: {name: 63}
commands:
  - run: get pods -n {ns}
    effect: read
  - run: rollout restart deployment/{name} -n {ns}
    effect: change
  - rule: {verbs: [get, list], groups: [apps], resources: [deployments], namespaces: ["{ns}"], names: []}
    effect: read
  - run: delete pod/{name}-{n} -n {ns}
    where: {n: {int: [0, 2]}}
    effect: destructive
"""


def rights(line: str) -> list[str]:
    return [step.right.words for step in parse_line(line, document=True)]


@pytest.mark.parametrize(
    ("line", "comes_to"),
    [
        ("get pods -n web", ["can list and get pods in namespace web"]),
        (
            "get po/a svc/b -n web",
            ["can get pods named a in namespace web", "can get services named b in namespace web"],
        ),
        (
            "get deploy,sts -n web",
            [
                "can list and get deployments of apps in namespace web",
                "can list and get statefulsets of apps in namespace web",
            ],
        ),
        ("get nodes", ["can list and get nodes in the whole cluster"]),
        ("get pods -A", ["can list and get pods in the whole cluster"]),
        ("get pods -n web -w", ["can list, watch and get pods in namespace web"]),
        (
            "describe pod {p} -n web",
            ["can get pods named {p} in namespace web", "can list events in namespace web"],
        ),
        (
            "logs web-1 -n web",
            ["can get pods named web-1 in namespace web", "can get pods/log named web-1 in namespace web"],
        ),
        ("logs -n web", ["can get pods in namespace web", "can get pods/log in namespace web"]),
        (
            "scale deployment/a -n web",
            [
                "can get deployments of apps named a in namespace web",
                "can patch deployments/scale of apps named a in namespace web",
                "can get deployments/scale of apps named a in namespace web",
            ],
        ),
        (
            "rollout restart deployment/a -n web",
            [
                "can get deployments of apps named a in namespace web",
                "can patch deployments of apps named a in namespace web",
            ],
        ),
        (
            "rollout history sts/a -n web",
            [
                "can get statefulsets of apps named a in namespace web",
                "can list and get controllerrevisions of apps in namespace web",
            ],
        ),
        (
            "rollout status sts/a -n web",
            [
                "can get and list statefulsets of apps named a in namespace web",
                "can watch statefulsets of apps named a in namespace web",
            ],
        ),
        (
            "delete pod a -n web",
            [
                "can delete pods named a in namespace web",
                "can get, list and watch pods named a in namespace web",
            ],
        ),
        (
            "cordon node-1",
            [
                "can get nodes named node-1 in the whole cluster",
                "can patch nodes named node-1 in the whole cluster",
            ],
        ),
        (
            "exec a -c b -n web -- id",
            [
                "can get pods named a in namespace web",
                "can get and create pods/exec named a in namespace web",
            ],
        ),
        (
            "port-forward pod/a 80 -n web",
            [
                "can get pods named a in namespace web",
                "can get and create pods/portforward named a in namespace web",
            ],
        ),
        ("top pods -n web", ["can list and get pods of metrics.k8s.io in namespace web"]),
        (
            "get certificates.cert-manager.io -n web",
            ["can list and get certificates of cert-manager.io in namespace web"],
        ),
        ("get deployments.v1.apps -n web", ["can list and get deployments of apps in namespace web"]),
        ("list,watch events -n a,b", ["can list and watch events in namespace a, b"]),
        ("kubectl create configmaps -n web", ["can create configmaps in namespace web"]),
        (
            "get deployment a -n web --subresource=scale",
            ["can get deployments/scale of apps named a in namespace web"],
        ),
    ],
)
def test_a_line_comes_to_the_rights_that_kubectl_needs(line, comes_to):
    assert rights(line) == comes_to


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("", "a command is required"),
        ("kubectl", "a command is required"),
        ("frobnicate pods", "not a known kubectl command"),
        ("get pods", "add -n"),
        ("get nodes -n web", "don't belong to a namespace"),
        ("get pods -A -n web", "remove -A or -n"),
        ("get pods -n web -n api", "twice"),
        ("get pods -n", "needs a value"),
        ("get {what} -n web", "written out"),
        ("get things -n web", "plural and group"),
        ("get pods {a}{b} -n web", "text between"),
        ("get pods -n Web", "can't be a namespace"),
        ("get pods A_b! -n web", "can't be an object name"),
        ("get pods -n web -o json", "remove -o"),
        ("get pods -n web --replicas=3", "not part of `get`"),
        ("exec a -n web -- id", "add -c"),
        ("exec a -c b -n web", "needs the program"),
        ("exec a -c b -n web -- a | b", "never passed to a shell"),
        ("exec a -c b -n web -- {p}", "the program must be written out"),
        ("get pods -n web -- id", "only `exec`"),
        ("attach a -n web", "add -c"),
        ("port-forward a -n web", "its ports"),
        ("port-forward a 0 -n web", "from 1 to 65535"),
        ("cp a:/x y", "exec"),
        ("edit pod a -n web", "apply:"),
        ("rollout undo pod/a -n web", "no revisions"),
        ("label pod a -n web", "key=value"),
        ("label pod a -n web {k}=v", "can't be the key"),
        ("set image deployment/a -n web", "container=image"),
        ("set image deployment/a -n web {c}=x", "literal container name"),
        ("set env deployment/a -n web A=b", "needs image"),
        ("cordon", "name of a node"),
        ("get pods --as=root -n web", "own server and account"),
        ("get pods --token x -n web", "own server and account"),
        ("get --raw /api", "remove it"),
        ("get pods -n web; id", "can't be a namespace"),
        ("get pods -n web | sh", "special shell character"),
        ("get pods $(id) -n web", "shell"),
        ("logs deployment/a -n web", "by their owner"),
        ("apply -f x", "write `apply:`"),
        ("run a", "creates a pod"),
        ("drain a", "rules"),
        ("create pods a -n web", "can't limit create"),
        ("rollout a", "restart, status"),
        ("get pods/ -n web", "needs both"),
        ("get pods/a b -n web", "needs both"),
        ("get pods\u200b -n web", "not printable"),
        ("get pods --frob -n web", "not a known option"),
    ],
)
def test_what_can_not_be_read_is_refused_with_what_to_do(line, says):
    with pytest.raises(RuleRefused) as caught:
        parse_line(line, document=True)
    assert says in caught.value.reason


@given(
    st.text(max_size=60)
    | st.lists(
        st.sampled_from(
            [
                "get",
                "pods",
                "-n",
                "web",
                "-A",
                "{ns}",
                "deployment/",
                "/",
                ",",
                "=",
                "--",
                "-w",
                "rollout",
                "logs",
                "*",
                "\0",
                " ",
            ]
        ),
        max_size=9,
    ).map(" ".join)
)
def test_no_line_raises_anything_else(line):
    compiled = compile_set(parse_text(SET), {"ns": "web", "name": "shop"})
    assert isinstance(decide(compiled, line), Allowed | Refused)


@pytest.mark.parametrize(
    "line",
    [
        "get pods -n web",
        "kubectl get pods -n web -o json -l app=shop",
        "rollout restart deployment/shop -n web",
        "get deployments -n web",
        "get deployment other -n web",
        "delete pod shop-1 -n web",
        "get,list deployments.apps -n web",
    ],
)
def test_what_is_listed_is_allowed_and_said_in_one_spelling(line):
    compiled = compile_set(parse_text(SET), {"ns": "web", "name": "shop"})
    verdict = decide(compiled, line)
    assert isinstance(verdict, Allowed), verdict
    again = decide(compiled, verdict.line)
    assert isinstance(again, Allowed)
    assert again.line == verdict.line


@pytest.mark.parametrize(
    ("line", "nearest"),
    [
        ("get pods -n api", "get pods -n web"),
        ("rollout restart deployment/x -n web", "rollout restart deployment/shop -n web"),
        ("delete pod shop-9 -n web", "delete pod/shop-{n} -n web"),
        ("scale deployment/shop -n web --replicas=2", None),
        ("get secrets -n web", None),
        ("get pods -A", "get pods -n web"),
    ],
)
def test_what_is_not_listed_is_refused_and_the_nearest_is_named(line, nearest):
    verdict = decide(compile_set(parse_text(SET), {"ns": "web", "name": "shop"}), line)
    assert isinstance(verdict, Refused)
    assert verdict.reason.startswith("nothing here allows you to ")
    assert nearest is None or verdict.nearest == nearest


def test_a_grant_shows_each_command_as_a_line_and_as_rules():
    views = describe(compile_set(parse_text(SET), {"ns": "web", "name": "shop"}))
    assert [view.text for view in views] == [
        "get pods -n web",
        "rollout restart deployment/shop -n web",
        "get,list deployments.apps -n web",
        "delete pod/shop-{n} -n web",
    ]
    assert views[2].detail == ("can get and list deployments of apps in namespace web",)
    assert [free.name for free in views[3].free] == ["n"]
    assert views[3].detail[-1] == "watch pods stays open until either side closes it"


@pytest.mark.parametrize(
    ("rule", "text", "detail"),
    [
        (
            (
                "{verbs: [delete], groups: ['', metrics.k8s.io], resources: [pods], names: [web-1],"
                " namespaces: [web]}"
            ),
            "delete pods,pods.metrics.k8s.io web-1 -n web",
            "can delete pods of the core and metrics.k8s.io named web-1 in namespace web",
        ),
        (
            "{verbs: [get], groups: [apps, ''], resources: [secrets, pods/log], namespaces: [web]}",
            "get secrets.apps,secrets,pods/log.apps,pods/log -n web",
            "can get secrets, pods/log of apps and the core in namespace web",
        ),
        (
            "{verbs: [get], groups: [apps, batch], resources: [jobs], namespaces: [web]}",
            "get jobs.apps,jobs.batch -n web",
            "can get jobs of apps and batch in namespace web",
        ),
        (
            "{verbs: [get], groups: [''], resources: [secrets], namespaces: [web]}",
            "get secrets -n web",
            "can get secrets in namespace web",
        ),
    ],
)
def test_a_rule_for_several_groups_names_each_of_them_the_core_too(rule, text, detail):
    (view,) = describe(compile_set(parse_text(f"{HEAD}rule: {rule}\n    effect: destructive\n"), {}))
    assert view.text == text
    assert view.detail[0] == detail


def test_what_a_revoke_can_not_cut_is_named_with_its_groups():
    rule = "{verbs: [watch], groups: ['', example.com], resources: [secrets], namespaces: [web]}"
    compiled = compile_set(parse_text(f"{HEAD}rule: {rule}\n    effect: read\n"), {})
    assert compiled.streams() == ("watch secrets, secrets.example.com",)


def test_both_ways_to_write_a_command_come_to_the_same_rules():
    def rules(command: str) -> object:
        head = SET.partition("commands:")[0].replace("  name: {name: 63}\n", "")
        return compile_set(
            parse_text(f"{head}commands:\n  - {command}\n    effect: read\n"), {"ns": "web"}
        ).rules()

    line = "run: get,list deployments.apps -n {ns}"
    assert rules(line) == rules(
        'rule: {verbs: [get, list], groups: [apps], resources: [deployments], namespaces: ["{ns}"]}'
    )


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"ns": "web"}, "name is missing"),
        ({"ns": "web", "name": "Shop"}, "can't be the name of an object"),
        ({"ns": "web", "name": "a", "x": "y"}, "not a parameter"),
        ({"ns": "prod", "name": "a"}, "is not one of"),
        ({"ns": "web", "name": "a_"}, "can't be the name"),
    ],
)
def test_values_that_are_no_names_are_refused(values, says):
    with pytest.raises(CompileError) as caught:
        compile_set(parse_text(SET), values)
    assert says in str(caught.value)


def test_before_a_grant_what_some_grant_could_do_is_allowed():
    compiled = compile_open(parse_text(SET))
    verdict = decide(compiled, "rollout restart deployment/any -n api")
    assert isinstance(verdict, Allowed)
    assert verdict.matched == {"ns": "api", "name": "any"}
    assert compiled.open_names() == ("name",)


ELEVEN = [f"a{number}" for number in range(11)]
HEAD = "name: a\nkind: kubernetes\nsummary: s\nrisk: low\ncommands:\n  - "


@pytest.mark.parametrize(
    ("command", "says"),
    [
        (
            "run: get pods -n {p}\n    where: {p: {name: 9}}\n    effect: read",
            "one account for each namespace",
        ),
        (
            "run: get pods/{p} -n web\n    where: {p: {choice: [A]}}\n    effect: read",
            "can't be an object name",
        ),
        (
            (
                f"run: get pods/{{p}}-{{q}} -n web\n    where: {{p: {{choice: {ELEVEN}}}, q: {{choice:"
                f" {ELEVEN}}}}}\n    effect: read"
            ),
            "100 combinations",
        ),
        ("run: get pods -n {ns}\n    effect: read", "not declared"),
        ("run: get pods -n web\n    effect: frob", "must be 'read'"),
        ("run: get pods -n web\n    held: true\n    effect: read", "is not a known key"),
        (
            "apply: {kind: Deployment, apiVersion: apps/v1, fields: {spec.replicas: 1}}\n    effect: change",
            "needs `namespaces`",
        ),
        (
            (
                "apply: {kind: Widget, apiVersion: example.com/v1, namespaces: [web], fields: {spec.a: 1}}\n "
                "   effect: change"
            ),
            "write its plural in `resource`",
        ),
        (
            (
                "apply: {kind: Deployment, apiVersion: batch/v1, namespaces: [web], fields: {spec.a: 1}}\n   "
                " effect: change"
            ),
            "`Deployment` of batch/v1 is not a known kind",
        ),
        (
            (
                "apply: {kind: Deployment, apiVersion: apps/v1, namespaces: [web], fields: {metadata.name:"
                " a}}\n    effect: change"
            ),
            "identifies the object",
        ),
        (
            (
                "apply: {kind: Deployment, apiVersion: apps/v1, namespaces: [web], fields:"
                " {'spec.template.spec.containers': a}}\n    effect: change"
            ),
            "not a single field",
        ),
        (
            (
                "apply: {kind: Deployment, apiVersion: apps/v1, namespaces: [web], fields: {'spec..a': a}}\n "
                "   effect: change"
            ),
            "is not a path",
        ),
        ("effect: read", "is missing"),
        (
            "rule: {verbs: [], groups: [apps], resources: [pods], namespaces: [web]}\n    effect: read",
            "is empty: add at least one entry",
        ),
        (
            "rule: {verbs: [get], groups: [''], resources: [pods]}\n    effect: read",
            "needs either `namespaces`",
        ),
        (
            (
                "rule: {verbs: [get], groups: [''], resources: [pods], namespaces: [web], cluster: true}\n   "
                " effect: read"
            ),
            "not both",
        ),
        (
            "rule: {verbs: [get], groups: [''], resources: [nodes], namespaces: [web]}\n    effect: read",
            "don't belong to a namespace",
        ),
        (
            (
                "rule: {verbs: [create], groups: [''], resources: [pods], namespaces: [web], names: [a]}\n   "
                " effect: change"
            ),
            "can't limit",
        ),
        (
            "rule: {verbs: [get, get], groups: [''], resources: [pods], namespaces: [web]}\n    effect: read",
            "twice",
        ),
        (
            "rule: {verbs: [Get], groups: [''], resources: [pods], namespaces: [web]}\n    effect: read",
            "not an API verb",
        ),
        (
            "rule: {verbs: [get], groups: [''], resources: ['pods/*'], namespaces: [web]}\n    effect: read",
            "no meaning in RBAC",
        ),
        ("run: get pods -n web\n    rule: {}\n    effect: read", "is not a known key"),
    ],
)
def test_a_document_that_rbac_can_not_hold_is_refused(command, says):
    with pytest.raises(DocumentError) as caught:
        parse_text(HEAD + command)
    assert says in str(caught.value)
    assert "line" in str(caught.value)
