"""Starter command sets for Kubernetes. Each can be published unchanged."""

from sessions_app.policy.commands.starters import Starter

STARTERS = (
    Starter(
        "kubernetes-look",
        "View a namespace",
        "List what runs in one namespace and read its logs.",
        "look-at-namespace",
        """\
name: look-at-namespace
kind: kubernetes
summary: List what runs in one namespace and read its logs
risk: low
parameters:
  # Fixed when access is requested. List the namespaces that may be viewed.
  ns: {choice: [web, api]}
commands:
  - run: get pods,services,events -n {ns} -w
    effect: read
  - run: describe deployments,replicasets,pods -n {ns}
    effect: read
  - run: logs -n {ns} -f
    effect: read
examples:
  allow: ["get pods -n web", "logs web-5d9c -n web --tail=100", "describe deployment web -n api"]
  refuse: ["get secrets -n web", "delete pod web-5d9c -n web", "get pods -A", "get pods -n kube-system"]
""",
    ),
    Starter(
        "kubernetes-scale",
        "Scale and restart a deployment",
        "Set the replicas of one deployment within limits, and restart it.",
        "scale-deployment",
        """\
name: scale-deployment
kind: kubernetes
summary: Set the replicas of one deployment within limits, and restart it
risk: medium
parameters:
  ns: {choice: [web, api]}
  name: {name: 63}
commands:
  - run: scale deployment/{name} -n {ns} --replicas {n}
    where: {n: {int: [1, 20]}}
    effect: change
  - run: rollout restart deployment/{name} -n {ns}
    effect: change
  - run: rollout status deployment/{name} -n {ns}
    effect: read
  - run: get pods -n {ns}
    effect: read
examples:
  allow:
    - "scale deployment/shop -n web --replicas=3"
    - "rollout restart deployment/shop -n web"
    - "get pods -n web"
  refuse: ["scale deployment/shop -n web --replicas=0", "delete deployment/shop -n web", "get secrets -n web"]
""",
    ),
    Starter(
        "kubernetes-release",
        "Release an image",
        "Set the image of one deployment to the release that triggered the pipeline.",
        "release-image",
        """\
name: release-image
kind: kubernetes
summary: Set the image of one deployment to the release of the pipeline
risk: high
parameters:
  ns: {choice: [web, api]}
  # Only the release that the pipeline reports.
  release: {pattern: "v[0-9]+[.][0-9]+[.][0-9]+", from: workflow.release}
commands:
  - run: set image deployment/shop -n {ns} app=registry.example/shop:{release}
    effect: change
  - run: rollout status deployment/shop -n {ns}
    effect: read
examples:
  allow:
    - "set image deployment/shop -n web app=registry.example/shop:v2.1.0"
    - "rollout status deployment/shop -n web"
  refuse:
    - "set image deployment/shop -n web app=registry.example/other:v2.1.0"
    - "set image deployment/shop -n web side=registry.example/shop:v2.1.0"
""",
    ),
    Starter(
        "kubernetes-exec",
        "Run one program in a pod",
        "Run one program, written out in full, in the pods of one deployment. The program ends when the "
        "connection closes.",
        "reload-nginx",
        """\
name: reload-nginx
kind: kubernetes
summary: Reload nginx in a pod of one deployment
risk: high
parameters:
  ns: {choice: [web, api]}
commands:
  - run: exec {pod} -c app -n {ns} -- nginx -s {signal}
    where: {pod: {pattern: "shop-[a-z0-9]+-[a-z0-9]+"}, signal: {choice: [reload, reopen]}}
    effect: change
  - run: get pods -n {ns}
    effect: read
examples:
  allow: ["exec shop-5d9c-x2 -c app -n web -- nginx -s reload"]
  refuse: ["exec shop-5d9c-x2 -c app -n web -- sh", "exec shop-5d9c-x2 -c side -n web -- nginx -s reload"]
""",
    ),
)
