"""What a target's administrator does once: one file of sshd_config, the authorities' keys, an empty list of revoked keys."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from sessions_app.connectors.ssh.krl import empty_krl_base64

CA_FILE, KRL_FILE, CONFIG_FILE = (
    "/etc/ssh/stint_ca.pub",
    "/etc/ssh/stint_krl",
    "/etc/ssh/sshd_config.d/10-stint.conf",
)


def sshd_config(*, accounts: Iterable[str], gateways: Sequence[str]) -> str:
    """Return the lines of sshd_config. ``gateways`` are the addresses that targets see gateways come from.

    They stand in a Match block, so that nobody else's logins change; only the exemption from penalties can't.
    """
    names = ",".join(sorted(set(accounts)))
    where = f" Address {','.join(gateways)}" if gateways else ""
    lines = [
        "# Stint: certificates that run one approved command each.",
        f"Match User {names}{where}",
        f"    TrustedUserCAKeys {CA_FILE}",
        f"    RevokedKeys {KRL_FILE}",
        "    DisableForwarding yes",
        "    PermitUserRC no",
        "    ClientAliveInterval 10",
        "    ClientAliveCountMax 2",
    ]
    if "root" in names.split(","):
        lines.append("    PermitRootLogin forced-commands-only")
    return "\n".join(lines) + "\n"


def empty_krl_line() -> str:
    """Return the line that makes an empty list of revoked keys where there is none."""
    return f"[ -e {KRL_FILE} ] || echo {empty_krl_base64()} | base64 -d > {KRL_FILE}"


def target_setup(*, accounts: Iterable[str], ca_keys: Sequence[str], gateways: Sequence[str]) -> str:
    """Return the whole text for the administrator of one target: what to run as root, once. Running it again is safe.

    ``ca_keys`` are the public keys of all authorities that are not retired. Raises ValueError without any.
    """
    if not ca_keys:
        raise ValueError("There is no certificate authority yet.")
    addresses = ",".join(gateways)
    exempt = (
        # Unknown before OpenSSH 9.8, where nothing gives penalties.
        "if sshd -T 2>/dev/null | grep -qi '^persourcepenalt'; then\n"
        f"  sed -i '1i PerSourcePenaltyExemptList {addresses}' {CONFIG_FILE}\n"
        "fi\n"
        if gateways
        else ""
    )
    return (
        "# Run this as root on the target; running it again is safe.\n"
        "set -eu\n"
        f"cat > {CA_FILE} <<'END'\n" + "".join(f"{key.strip()}\n" for key in ca_keys) + "END\n"
        # An existing list may revoke something; a missing one would refuse every login.
        f"{empty_krl_line()}\n"
        f"cat > {CONFIG_FILE} <<'END'\n" + sshd_config(accounts=accounts, gateways=gateways) + "END\n" + exempt +
        f"chmod 0644 {CA_FILE} {KRL_FILE} {CONFIG_FILE}\n"
        "sshd -t && { systemctl reload ssh 2>/dev/null || systemctl reload sshd; }\n"
    )  # fmt: skip
