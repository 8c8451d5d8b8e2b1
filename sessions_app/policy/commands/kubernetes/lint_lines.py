"""Findings about the contents of lines: images, fields of objects, and programs that run in containers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from sessions_app.policy.commands.argv.templates import Slot
from sessions_app.policy.commands.findings import Finding, Severity
from sessions_app.policy.commands.kubernetes.applying import Applies
from sessions_app.policy.commands.kubernetes.bodies import written_path
from sessions_app.policy.commands.kubernetes.checks import Field, Writes
from sessions_app.policy.commands.kubernetes.document import KubectlLine, KubernetesCommandSet, KubernetesRule
from sessions_app.policy.commands.kubernetes.entering import Enters
from sessions_app.policy.commands.kubernetes.wants import Said, Typed
from sessions_app.policy.commands.parameters import Choice
from sessions_app.policy.commands.ssh.document import SSHCommand, SSHCommandSet
from sessions_app.policy.commands.ssh.lint import lint as lint_programs

# Fields that let a pod escape its container, and what they do.
_LEAVES = {
    "hostPath": "mounts the node's own files",
    "hostNetwork": "shares the node's network",
    "hostPID": "sees every process of the node",
    "hostIPC": "shares memory with every process of the node",
    "privileged": "has full privileges on the node",
    "capabilities": "has some or all of root's privileges on the node",
    "allowPrivilegeEscalation": "can gain root's privileges",
    "procMount": "can see the node's kernel settings",
}
# Fields that decide which program a pod runs and with which rights.
_RUNS = {
    "serviceAccountName": "the account that the pod runs as",
    "serviceAccount": "the account that the pod runs as",
    "command": "the program that the container runs",
    "args": "the program's arguments",
    "automountServiceAccountToken": "whether the pod gets a token for the cluster's API",
    "nodeName": "the node that the pod runs on",
    "secretName": "a secret that the pod reads",
    "secretKeyRef": "a secret that the pod reads",
}


def line_findings(document: KubernetesCommandSet, index: int, rule: KubernetesRule) -> Iterator[Finding]:
    """Yield the findings about the contents of a command's requests."""
    where = f"commands[{index}].{rule.WRITTEN}"
    for step in rule.steps():
        check = step.check
        if isinstance(check, Writes | Applies):
            for field in check.fields:
                yield from _field(where, rule, field, applied=isinstance(check, Applies))
        if isinstance(check, Enters) and check.words:
            yield from _program(document, index, rule, check)
    if isinstance(rule, KubectlLine) and rule.contain == "none":
        yield Finding(
            "warning",
            "uncontained",
            f"commands[{index}].contain",
            "nothing ends the processes that the program starts: closing the stream does not end a "
            "process in a container",
            "remove it, so that the program ends with its stream; accept the finding for images without "
            "a shell",
        )


def _field(where: str, rule: KubernetesRule, field: Field, *, applied: bool) -> Iterator[Finding]:
    def found(severity: Severity, code: str, message: str, fix: str) -> Finding:
        return Finding(severity, code, where, message, fix)

    path = written_path(field.path)
    if applied and (leaves := next((why for key, why in _LEAVES.items() if key in field.path), None)):
        yield found("error", "leaves_container", f"a pod with {path} {leaves}", f"remove {path}")
    elif applied and (runs := next((what for key, what in _RUNS.items() if key in field.path), None)):
        yield found(
            "warning", "workload", f"{path} is {runs}", "remove it, or accept the finding with a reason"
        )
    if field.path[-1] == "image" and _is_free(rule, field):
        yield found(
            "warning",
            "free_image",
            f"the holder chooses {path} at each run, and with it the program that runs with the pod's "
            "account and secrets",
            "declare it under parameters, take it from the workflow with `from`, or list the images with "
            "choice",
        )


def _is_free(rule: KubernetesRule, field: Field) -> bool:
    want = field.want
    if isinstance(want, Typed):
        return not isinstance(want.type_, Choice)
    return isinstance(want, Said) and any(
        name in rule.where and not isinstance(rule.where[name], Choice) for name in want.names
    )


def _program(
    document: KubernetesCommandSet, index: int, rule: KubernetesRule, check: Enters
) -> Iterator[Finding]:
    """Yield the SSH linter's findings about the program, because the program is also a command line."""
    used = {piece.name for word in check.words for piece in word if isinstance(piece, Slot)}
    command = SSHCommand(
        run=rule.text.partition(" -- ")[2],
        effect=rule.effect,
        where={name: type_ for name, type_ in rule.where.items() if name in used},
    )
    programs = SSHCommandSet(
        name=document.name,
        kind="ssh",
        summary=document.summary,
        risk=document.risk,
        parameters={name: type_ for name, type_ in document.parameters.items() if name in used},
        commands=(command,),
        contain="group" if rule.contained == "none" else "pidns",
        examples=document.examples,
    )
    for one in lint_programs(programs):
        if one.where.startswith("commands[0]"):
            yield replace(one, where=one.where.replace("commands[0]", f"commands[{index}]", 1))
        elif one.where.startswith("parameters."):
            yield one
