"""Log in to a target and report, step by step, whether the target's setup enforces Stint's guarantees."""

from __future__ import annotations

import asyncio
import re
import secrets
import time
from collections.abc import Callable, Iterator

import asyncssh

from sessions_app.connectors.base import CheckStep, ConnectorError, TargetSpec
from sessions_app.connectors.ssh.connection import CLIENT_OPTIONS, Dialer, Errand, connect_tcp
from sessions_app.connectors.ssh.setup import PRINCIPALS, principal_of
from sessions_app.connectors.ssh.target import command_of, read_script
from sessions_app.policy.commands.argv.quoting import quote_argv
from sessions_app.policy.scope import TargetFacts

ANSWER_TIMEOUT = 20.0
# Seconds. A certificate is backdated by 30 s and valid for 60 s.
LARGEST_SKEW = 15.0
SAFE_SHELLS = frozenset({"sh", "bash", "dash", "zsh", "fish", "ash", "ksh", "mksh"})
UNSAFE_SHELLS = frozenset({"csh", "tcsh"})
_HOST_KEY, _ACCEPTED = "host key matches", "certificate accepted"
_SAID_AGAIN = ("config", "tunnel", "proxy_command", "family", "local_addr", "client_version", "kex_algs")
_TOOLS = ("setpriv", "timeout", "grep", "unshare")
_PROBE = command_of(read_script("probe.sh"))


async def check_target(
    dialer: Dialer, place: TargetSpec, *, clock: Callable[[], float] = time.time
) -> list[CheckStep]:
    """Return the steps in order, until a failure makes the remaining ones impossible."""
    target = place.target
    steps: list[CheckStep] = []
    try:
        (await connect_tcp(target)).close()
    except ConnectorError as error:
        return [
            CheckStep(
                "reachable",
                False,
                error.message,
                "Check the address, the port, the firewall, and that sshd is running.",
            )
        ]
    steps.append(CheckStep("reachable", True, f"{target.address} port {target.port} accepts connections"))
    nonce = secrets.token_hex(8)

    async def errand() -> Errand:
        command = f"exec {_PROBE} {quote_argv([nonce, PRINCIPALS])}"
        return Errand(serial=0, key_id="check", command=command)

    try:
        connection = await dialer.dial(place, errand)
    except ConnectorError as error:
        return [*steps, *await _not_let_in(error, place)]
    how = "its pinned key" if target.host_key.strip() else "a certificate of the cluster's host authority"
    steps.append(CheckStep(_HOST_KEY, True, f"the target presented {how}"))
    try:
        async with asyncio.timeout(ANSWER_TIMEOUT):
            before = clock()
            answer = await connection.run("echo not-forced", stdin=asyncssh.DEVNULL, errors="replace")
            middle = (before + clock()) / 2
        version = str(connection.get_extra_info("server_version", ""))
    except (TimeoutError, asyncssh.Error, OSError) as error:
        return [*steps, CheckStep(_ACCEPTED, False, f"the connection was lost: {error}", _lacks(place))]
    finally:
        connection.abort()
    steps.append(CheckStep(_ACCEPTED, True, f"{version} accepted the certificate for {target.account}"))
    return [*steps, *_judge(_facts(str(answer.stdout)), nonce, place, version, middle)]


def _lacks(place: TargetSpec) -> str:
    """Return what a target that refuses the certificate may lack.

    The target itself does not report the cause.
    """
    account = place.target.account
    return (
        f"The target needs three things for {account}: the account itself, with a login shell and "
        "permitted by AllowUsers and AllowGroups; Stint's key in the file that TrustedUserCAKeys names; "
        f"and the line `{principal_of(place.cluster)}` in the file that AuthorizedPrincipalsFile names, "
        f"{PRINCIPALS}/{account}. To set up all three, run the output of `manage.py ssh_target_setup "
        f"{place.cluster}` on the target as root; it is also on the cluster's page. The target's log shows "
        "what was missing: `journalctl -u ssh`."
    )


async def _not_let_in(error: ConnectorError, place: TargetSpec) -> list[CheckStep]:
    if isinstance(error.__cause__, asyncssh.PermissionDenied):
        proven = CheckStep(_HOST_KEY, True, "the target presented the expected key")
        return [proven, CheckStep(_ACCEPTED, False, error.message, _lacks(place))]
    if error.__cause__ is None or isinstance(error.__cause__, asyncssh.HostKeyNotVerifiable):
        shown = await _shown_key(place.target)
        advice = (
            "The target presents this key; compare it with `cat /etc/ssh/ssh_host_*_key.pub` on the target:"
            f" {shown}"
            if shown
            else ""
        )
        return [CheckStep(_HOST_KEY, False, error.message, advice)]
    return [CheckStep("handshake", False, error.message, "See the target's log: `journalctl -u ssh`.")]


async def _shown_key(target: TargetFacts) -> str:
    try:
        async with asyncio.timeout(ANSWER_TIMEOUT):
            sock = await connect_tcp(target)
            key = await asyncssh.get_server_host_key(
                target.address,
                target.port,
                sock=sock,
                # Arguments beside ``options`` have their own defaults, so they are passed again.
                options=asyncssh.SSHClientConnectionOptions(**CLIENT_OPTIONS),
                **{name: CLIENT_OPTIONS[name] for name in _SAID_AGAIN},
            )
    except (TimeoutError, asyncssh.Error, OSError, ConnectorError):
        return ""
    return key.export_public_key().decode().strip() if key else ""


def _facts(output: str) -> dict[str, str]:
    pairs = (line.partition("=") for line in output.splitlines())
    return {name: value.strip() for name, separator, value in pairs if separator}


def _judge(
    facts: dict[str, str], nonce: str, place: TargetSpec, version: str, asked: float
) -> Iterator[CheckStep]:
    forced = facts.get("nonce") == nonce
    yield CheckStep(
        "forced command",
        forced,
        "the certificate's command ran, not the requested one" if forced else "another command ran",
        (
            ""
            if forced
            else "Remove `ForceCommand` for this account from sshd_config, because it overrides certificates."
        ),
    )
    if not forced:
        return
    account = facts.get("account", "")
    same = account == place.target.account
    yield CheckStep(
        "account",
        same,
        f"commands run as {account or 'an unknown account'}",
        "" if same else f"Make sure that {place.target.account} is a separate account.",
    )
    yield _principals(facts.get("principals", ""), place)
    yield _shell(facts.get("shell", ""))
    for tool in _TOOLS:
        yield _tool(tool, facts.get(tool, ""))
    armed = facts.get("pdeathsig") == "yes"
    yield CheckStep(
        "death signal",
        armed,
        "setpriv --pdeathsig works" if armed else "setpriv --pdeathsig fails",
        "" if armed else "Install util-linux 2.33 or newer.",
    )
    spaces = facts.get("pidns") == "yes"
    # Only some command sets need them, which the check of their commands finds out.
    yield CheckStep(
        "PID namespaces",
        True,
        "each command can have its own PID namespace"
        if spaces
        else "commands of this account can't have their own PID namespace",
        (
            ""
            if spaces
            else "Allow user namespaces for this account. Without them, only commands with `as: root` or"
            " `contain: group` run here. With `contain: group`, processes that a command leaves behind can"
            " hide."
        ),
    )
    yield _clock(facts.get("clock", ""), asked)
    yield _penalties(version, facts.get("exempt", ""))


def _principals(listed: str, place: TargetSpec) -> CheckStep:
    """Report which principals the account accepts, if the account can read the file."""
    mine = principal_of(place.cluster)
    others = sorted(set(listed.split()) - {mine})
    says = f"{place.target.account} accepts certificates for {mine}"
    if not others:
        return CheckStep("principals", True, says)
    return CheckStep(
        "principals",
        True,
        f"{says}, and for {', '.join(others)}",
        "Remove the principals that should not run commands on this target from "
        f"{PRINCIPALS}/{place.target.account}.",
    )


def _shell(path: str) -> CheckStep:
    shell = path.rpartition("/")[2]
    if shell in SAFE_SHELLS:
        slow = (
            "" if shell in {"sh", "dash"} else "Prefer /bin/sh, which runs no startup file before a command."
        )
        return CheckStep("login shell", True, f"{path} passes arguments unchanged", slow)
    why = (
        "expands `!` even in quotes"
        if shell in UNSAFE_SHELLS
        else "might not pass quoted arguments unchanged"
    )
    return CheckStep(
        "login shell", False, f"{path or 'unknown'} {why}", "Give the account /bin/sh: `usermod -s /bin/sh`."
    )


def _tool(tool: str, version: str) -> CheckStep:
    if version:
        return CheckStep(tool, True, version)
    package = {"grep": "grep", "timeout": "coreutils"}.get(tool, "util-linux")
    return CheckStep(
        tool, False, f"{tool} is not installed or does not support --version", f"Install {package}."
    )


def _clock(text: str, asked: float) -> CheckStep:
    try:
        skew = float(text) - asked
    except ValueError:
        return CheckStep("clock", False, "the target's clock can't be read", "Install coreutils.")
    ok = abs(skew) <= LARGEST_SKEW
    return CheckStep("clock", ok, f"the target is {skew:+.1f} s off", "" if ok else "Use NTP on both sides.")


def _penalties(version: str, line: str) -> CheckStep:
    found = re.search(r"OpenSSH_(\d+)\.(\d+)", version)
    if found is None or (int(found[1]), int(found[2])) < (9, 8):
        return CheckStep("penalties", True, "this server has no penalties for failed logins")
    if line:
        return CheckStep("penalties", True, line)
    return CheckStep(
        "penalties",
        True,
        "PerSourcePenaltyExemptList was not found in /etc/ssh",
        "Add the gateway's address to this list. Otherwise a few failed logins lock out the gateway for "
        "everyone.",
    )
