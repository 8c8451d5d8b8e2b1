"""Command sets for Kubernetes to begin with. Each is fit to be published as it stands."""

from sessions_app.policy.commands.starters import Starter

STARTERS = (
    Starter(
        "kubernetes-look",
        "Look at a namespace",
        "See what runs in one namespace and read its logs, and change nothing.",
        "look-at-namespace",
        """\
name: look-at-namespace
kind: kubernetes
summary: See what runs in one namespace and read its logs
risk: low
parameters:
  # Bound when somebody asks. Put the namespaces here that may be looked at.
  ns: {choice: [web, api]}
commands:
  - run: get pods,services,events -n {ns}
    effect: read
  - run: get deployments,replicasets -n {ns}
    effect: read
  - run: logs -n {ns}
    effect: read
examples:
  allow: ["get pods -n web", "logs web-5d9c -n web --tail=100", "describe deployment web -n api"]
  refuse: ["get secrets -n web", "delete pod web-5d9c -n web", "get pods -A", "get pods -n kube-system"]
""",
    ),
    Starter(
        "kubernetes-scale",
        "Scale a deployment",
        "Set how many pods one deployment has, and nothing else of it.",
        "scale-deployment",
        """\
name: scale-deployment
kind: kubernetes
summary: Set how many pods one deployment has
risk: medium
parameters:
  ns: {choice: [web, api]}
  name: {name: 63}
commands:
  - run: scale deployment/{name} -n {ns}
    effect: change
  - run: get pods -n {ns}
    effect: read
examples:
  allow: ["scale deployment/shop -n web --replicas=3", "get pods -n web"]
  refuse: ["rollout restart deployment/shop -n web", "delete deployment/shop -n web"]
""",
    ),
)
