"""The linter refuses what gives others' rights away, and warns of what RBAC can't hold back."""

import pytest

from sessions_app.policy.commands.kinds import lint, parse_document


def found(command, *, parameters=None, **more):
    written = {"run": command} if isinstance(command, str) else {"rule": command}
    document = parse_document(
        {
            "name": "a",
            "kind": "kubernetes",
            "summary": "s",
            "risk": "low",
            "parameters": parameters or {},
            "commands": [{**written, "effect": "destructive", **more}],
            "examples": {"allow": ["x"], "refuse": ["y"]},
        }
    )
    return {(one.severity, one.code) for one in lint(document)}


def rule(verbs, resources, groups=("",), **more):
    return {
        "verbs": verbs,
        "groups": list(groups),
        "resources": resources,
        **(more or {"namespaces": ["web"]}),
    }


RBAC = "rbac.authorization.k8s.io"


@pytest.mark.parametrize(
    ("command", "code"),
    [
        (rule(["*"], ["pods"]), "wildcard"),
        (rule(["get"], ["*"]), "wildcard"),
        (rule(["get"], ["pods"], ["*"]), "wildcard"),
        (rule(["get"], ["*/log"]), "wildcard"),
        (rule(["escalate"], ["roles"], [RBAC]), "off_limits"),
        (rule(["bind"], ["roles"], [RBAC]), "off_limits"),
        (rule(["impersonate"], ["serviceaccounts"]), "off_limits"),
        (rule(["create"], ["rolebindings"], [RBAC]), "off_limits"),
        (rule(["patch"], ["roles"], [RBAC]), "off_limits"),
        (rule(["delete"], ["clusterrolebindings"], [RBAC], cluster=True, names=["a"]), "off_limits"),
        (rule(["create"], ["rolebindings"], ["authorization.openshift.io"]), "off_limits"),
        (rule(["patch"], ["groups"], ["user.openshift.io"], cluster=True, names=["a"]), "off_limits"),
        (rule(["create"], ["oauthaccesstokens"], ["oauth.openshift.io"], cluster=True), "off_limits"),
        (
            rule(
                ["use"],
                ["securitycontextconstraints"],
                ["security.openshift.io"],
                cluster=True,
                names=["privileged"],
            ),
            "off_limits",
        ),
        (rule(["create"], ["projectroletemplatebindings"], ["management.cattle.io"]), "off_limits"),
        (rule(["create"], ["serviceaccounts/token"]), "off_limits"),
        (rule(["create"], ["secrets"]), "off_limits"),
        (rule(["create"], ["serviceaccounts/token"], cluster=True), "off_limits"),
        # A certificate that outlives the grant.
        *(
            (rule(verbs, [resource], ["certificates.k8s.io"], cluster=True, names=["a"]), "off_limits")
            for verbs, resource in (
                (["update"], "certificatesigningrequests/approval"),
                (["patch"], "certificatesigningrequests/approval"),
                (["patch"], "certificatesigningrequests/status"),
                (["approve"], "signers"),
                (["sign"], "signers"),
            )
        ),
        # The kubelet enters every pod.
        (rule(["get"], ["nodes/proxy"], cluster=True, names=["node-1"]), "off_limits"),
        (rule(["create"], ["nodes/proxy"], cluster=True, names=["node-1"]), "off_limits"),
        # What does more than look at every namespace reaches Stint's own.
        ("get secrets -A", "off_limits"),
        ("exec a -c b -A -- id", "off_limits"),
        ("delete pods -A", "off_limits"),
        ("rollout restart deployment/a -A", "off_limits"),
        (rule(["create"], ["configmaps"], cluster=True), "off_limits"),
    ],
)
def test_what_gives_away_everything_can_not_be_published(command, code):
    assert ("error", code) in found(command)


@pytest.mark.parametrize(
    ("command", "code"),
    [
        ("get secrets -n web", "secrets"),
        ("get secret/a -n web", "secrets"),
        ("label secret a -n web b=c", "secrets"),
        ("attach a -c b -n web", "into_pods"),
        ("port-forward a 80 -n web", "into_pods"),
        (rule(["patch"], ["pods/ephemeralcontainers"]), "into_pods"),
        ("create pods -n web", "workload"),
        (rule(["patch"], ["deployments"], ["apps"]), "workload"),
        (rule(["create"], ["cronjobs"], ["batch"]), "workload"),
        ("get pods -A", "whole_cluster"),
        ("get pods -n kube-system", "whole_cluster"),
        ("delete pods -n web", "any_object"),
        (rule(["create"], ["serviceaccounts"]), "decides_more"),
        (rule(["patch"], ["serviceaccounts"]), "decides_more"),
        (rule(["create"], ["persistentvolumes"], cluster=True), "decides_more"),
        (rule(["create"], ["persistentvolumeclaims"]), "decides_more"),
        (rule(["patch"], ["namespaces"], cluster=True, names=["web"]), "decides_more"),
        (rule(["patch"], ["nodes"], cluster=True), "decides_more"),
        ("cordon node-1", "decides_more"),
        ("label nodes node-1 a=b", "decides_more"),
        (rule(["create"], ["pods/eviction"]), "into_pods"),
        (rule(["create"], ["pods/eviction"]), "any_object"),
        ("create workflows.argoproj.io -n web", "workload"),
        ("create pipelineruns.tekton.dev -n web", "workload"),
        ("patch scaledjobs.keda.sh -n web", "workload"),
        ("create jobs.batch.volcano.sh -n web", "workload"),
        ("patch widgets.example.com -n web", "unknown_resource"),
        (
            rule(
                ["update"], ["customresourcedefinitions"], ["apiextensions.k8s.io"], cluster=True, names=["a"]
            ),
            "decides_more",
        ),
        (
            rule(
                ["delete"], ["customresourcedefinitions"], ["apiextensions.k8s.io"], cluster=True, names=["a"]
            ),
            "decides_more",
        ),
        ("delete validatingwebhookconfiguration/a", "decides_more"),
        (
            rule(
                ["delete"],
                ["mutatingadmissionpolicybindings"],
                ["admissionregistration.k8s.io"],
                cluster=True,
                names=["a"],
            ),
            "decides_more",
        ),
        (
            rule(["delete"], ["apiservices"], ["apiregistration.k8s.io"], cluster=True, names=["a"]),
            "decides_more",
        ),
        (
            rule(["get"], ["virtualmachineinstances/console"], ["subresources.kubevirt.io"]),
            "unknown_resource",
        ),
        (rule(["use"], ["widgets"], ["example.com"]), "unknown_resource"),
        (rule(["get"], ["tokens"], ["management.cattle.io"], cluster=True, names=["a"]), "secrets"),
        (rule(["get"], ["imagestreams/secrets"], ["image.openshift.io"]), "secrets"),
        (rule(["patch"], ["services"]), "decides_more"),
        (rule(["patch"], ["endpoints"]), "decides_more"),
        (rule(["patch"], ["endpointslices"], ["discovery.k8s.io"]), "decides_more"),
        (rule(["patch"], ["ingresses"], ["networking.k8s.io"]), "decides_more"),
        (
            rule(
                ["delete", "patch"],
                ["networkpolicies"],
                ["networking.k8s.io"],
                names=["a"],
                namespaces=["web"],
            ),
            "decides_more",
        ),
        (rule(["update"], ["nodes/status"], cluster=True), "unknown_resource"),
        (rule(["create"], ["pods/binding"]), "unknown_resource"),
        (rule(["get"], ["pods/log"], cluster=True), "whole_cluster"),
        (rule(["get"], ["nodes/log"], cluster=True), "past_rbac"),
    ],
)
def test_what_rbac_can_not_hold_back_has_to_be_accepted_with_a_reason(command, code):
    assert ("warning", code) in found(command)
    assert not any(severity == "error" for severity, _ in found(command))


@pytest.mark.parametrize(
    "command",
    [
        "get pods -n web",
        "logs -n web",
        "scale deployment/a -n web",
        "get nodes",
        "delete pod/a -n web",
        "get pods -n web -w",
        "rollout restart deployment/a -n web",
        "rollout status deployment/a -n web",
        "set image deployment/a -n web b=c:1",
        "exec a -c b -n web -- cat /var/log/a.log",
        "label deployment a -n web b=c",
        "get roles.rbac.authorization.k8s.io -n web",
        rule(["update"], ["configmaps"]),
    ],
)
def test_what_is_harmless_is_let_through(command):
    assert found(command) == set()


@pytest.mark.parametrize(
    ("command", "least"),
    [
        ("get pods -n web", "read"),
        ("scale deployment/a -n web", "change"),
        ("delete pod/a -n web", "destructive"),
        (rule(["create"], ["pods/eviction"]), "destructive"),
        ("attach a -c b -n web", "change"),
        ("port-forward pod/a 80 -n web", "change"),
        (rule(["get"], ["pods/proxy"]), "change"),
        (rule(["get", "create"], ["services/proxy"]), "change"),
        ("exec a -c b -n web -- systemctl restart nginx", "change"),
        ("exec a -c b -n web -- rm -f /var/log/a.log", "change"),
    ],
)
def test_an_effect_says_no_less_than_what_the_command_does(command, least):
    effects = ["read", "change", "destructive"]
    too_little = [one for one in effects if ("error", "effect") in found(command, effect=one)]
    assert too_little == effects[: effects.index(least)]


OPEN = [
    {"name": 63},
    {"pattern": "[a-z-]+"},
    {"pattern": "stint-[a-z]+"},
    {"from": "workflow.service"},
    {"choice": ["web", "stint-grants"]},
]


@pytest.mark.parametrize("verb", ["get pods", "logs", "scale deployment/a"])
@pytest.mark.parametrize("namespace", ["stint-system", "stint-grants"])
def test_namespaces_of_stints_own_can_not_be_published(verb, namespace):
    assert ("error", "off_limits") in found(f"{verb} -n {namespace}")
    assert ("error", "off_limits") in found(f"{verb} -n web,{namespace}")


@pytest.mark.parametrize("verb", ["delete", "patch", "update", "deletecollection"])
@pytest.mark.parametrize(
    "more", [{"names": ["stint-system"]}, {"names": ["web", "stint-grants"]}, {"names": ["{ns}"]}, {}]
)
def test_namespaces_of_stints_own_are_not_changed_as_objects_either(verb, more):
    parameters = {"ns": {"name": 63}} if more.get("names") == ["{ns}"] else {}
    command = rule([verb], ["namespaces"], cluster=True, **(more if verb != "deletecollection" else {}))
    used = parameters if "{ns}" in str(command) else {}
    assert ("error", "off_limits") in found(command, parameters=used)
    assert ("error", "off_limits") not in found(rule(["delete"], ["namespaces"], cluster=True, names=["web"]))


@pytest.mark.parametrize("type_", OPEN)
def test_a_free_namespace_that_could_be_stints_own_can_not_be_published(type_):
    assert ("error", "off_limits") in found("get pods -n {ns}", parameters={"ns": type_})


@pytest.mark.parametrize(
    "type_",
    [{"choice": ["web"]}, {"pattern": "team-[a-z]+"}, {"pattern": "pr-[0-9]+", "from": "workflow.number"}],
)
def test_a_namespace_of_ones_own_word_is_let_through(type_):
    assert found("get pods -n {ns}", parameters={"ns": type_}) == set()


def test_part_of_a_namespace_is_looked_at_with_the_rest_of_it():
    assert ("error", "off_limits") in found("get pods -n stint-{x}", parameters={"x": {"name": 20}})
    assert found("get pods -n web-{x}", parameters={"x": {"name": 20}}) == set()


@pytest.mark.parametrize(
    ("resource", "group"),
    [
        ("workflows", "argoproj.io"),
        ("taskruns", "tekton.dev"),
        ("externalsecrets", "external-secrets.io"),
        ("widgets", "example.com"),
        ("widgets/scale", "example.com"),
    ],
)
def test_a_custom_resource_of_the_whole_cluster_may_run_pods_in_stints_own_namespaces(resource, group):
    command = rule(["create", "get"], [resource], [group], cluster=True)
    assert ("error", "off_limits") in found(command)
    assert ("error", "off_limits") not in found(rule(["create", "get"], [resource], [group]))
    assert ("error", "off_limits") not in found(rule(["get", "list"], [resource], [group], cluster=True))


def test_a_subresource_that_only_the_cluster_knows_is_not_read_in_every_namespace():
    console = (["get"], ["virtualmachineinstances/console"], ["subresources.kubevirt.io"])
    assert ("error", "off_limits") in found(rule(*console, cluster=True))
    assert ("error", "off_limits") not in found(
        rule(["get"], ["widgets/status"], ["example.com"], cluster=True)
    )


@pytest.mark.parametrize(
    ("resource", "group"),
    [
        ("mutatingwebhookconfigurations", "admissionregistration.k8s.io"),
        ("validatingwebhookconfigurations", "admissionregistration.k8s.io"),
        ("validatingadmissionpolicies", "admissionregistration.k8s.io"),
        ("apiservices", "apiregistration.k8s.io"),
        ("validatingadmissionpolicybindings", "admissionregistration.k8s.io"),
        ("mutatingadmissionpolicies", "admissionregistration.k8s.io"),
    ],
)
def test_what_stands_between_stint_and_its_cluster_is_changed_by_nobody(resource, group):
    for more in ({}, {"names": ["a"]}):
        assert ("error", "off_limits") in found(rule(["update"], [resource], [group], cluster=True, **more))
        assert ("error", "off_limits") not in found(rule(["get"], [resource], [group], cluster=True, **more))


@pytest.mark.parametrize(
    ("program", "finding"),
    [
        ("sh", ("error", "shell")),
        ("sh -c 'id'", ("error", "shell")),
        ("python3 -c x", ("error", "interpreter")),
        ("cat {f}", ("warning", "secret")),
        ("tool --all", ("warning", "unknown_program")),
    ],
)
def test_a_program_in_a_pod_is_judged_as_one_over_ssh(program, finding):
    more = {"where": {"f": {"choice": ["/etc/shadow", "/tmp/a"]}}} if "{f}" in program else {}
    assert finding in found(f"exec a -c b -n web -- {program}", **more)


def test_a_program_that_nothing_contains_has_to_be_accepted_with_a_reason():
    assert ("warning", "uncontained") in found("exec a -c b -n web -- cat /var/log/a.log", contain="none")
    assert ("warning", "uncontained") not in found("exec a -c b -n web -- cat /var/log/a.log")


def test_an_image_that_is_chosen_at_each_run_has_to_be_accepted_with_a_reason():
    free = {"where": {"image": {"pattern": "a:v[0-9]+"}}}
    assert ("warning", "free_image") in found("set image deployment/a -n web b={image}", **free)
    listed = {"where": {"image": {"choice": ["a:1", "a:2"]}}}
    assert found("set image deployment/a -n web b={image}", **listed) == set()
    bound = {"parameters": {"image": {"pattern": "a:v[0-9]+"}}}
    assert found("set image deployment/a -n web b={image}", **bound) == set()


def test_a_pod_that_is_any_of_them_is_told_from_one_that_begins_with_a_name():
    assert ("warning", "any_object") in found("delete pod {p} -n web", where={"p": {"name": 63}})
    assert ("warning", "any_object") not in found(
        "delete pod {p} -n web", where={"p": {"pattern": "web-[a-z0-9]+"}}
    )


def applied(*fields, kind="Deployment", version="apps/v1", **more):
    where = {} if kind.startswith("Cluster") or version.startswith("admission") else {"namespaces": ["web"]}
    rule = {"kind": kind, "apiVersion": version, "fields": dict.fromkeys(fields, "x"), **where, **more}
    document = parse_document(
        {
            "name": "a",
            "kind": "kubernetes",
            "summary": "s",
            "risk": "low",
            "commands": [{"apply": rule, "effect": "destructive"}],
            "examples": {"allow": ["x"], "refuse": ["y"]},
        }
    )
    return {(one.severity, one.code) for one in lint(document)}


@pytest.mark.parametrize(
    "field",
    [
        "spec.template.spec.volumes[a].hostPath.path",
        "spec.template.spec.hostNetwork",
        "spec.template.spec.hostPID",
        "spec.template.spec.containers[a].securityContext.privileged",
        "spec.template.spec.containers[a].securityContext.capabilities.add",
    ],
)
def test_a_field_with_which_a_pod_leaves_its_container_can_not_be_published(field):
    assert ("error", "leaves_container") in applied(field)


@pytest.mark.parametrize(
    "field", ["spec.template.spec.serviceAccountName", "spec.template.spec.containers[a].command"]
)
def test_a_field_that_decides_what_a_pod_runs_has_to_be_accepted_with_a_reason(field):
    assert ("warning", "workload") in applied(field)


def test_rights_and_webhooks_are_applied_by_nobody():
    assert ("error", "off_limits") in applied("rules", kind="Role", version="rbac.authorization.k8s.io/v1")
    hooks = applied(
        "webhooks", kind="MutatingWebhookConfiguration", version="admissionregistration.k8s.io/v1"
    )
    assert ("error", "off_limits") in hooks
    assert applied("spec.replicas") == set()


def test_kube_system_is_named_also_among_choices():
    assert ("warning", "whole_cluster") in found(
        "get pods -n {ns}", parameters={"ns": {"choice": ["web", "kube-system"]}}
    )
