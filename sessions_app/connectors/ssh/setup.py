"""What a target's administrator does once: an account, the authorities' keys, whom the account lets in, sshd's lines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sessions_app.connectors.ssh.krl import empty_krl_base64

# What targets are logged in to as, unless their document names another account.
ACCOUNT = "stint"
CA_FILE, KRL_FILE = "/etc/ssh/stint_ca.pub", "/etc/ssh/stint_krl"
# One file for each account, with one line for each cluster whose certificates it lets in.
PRINCIPALS = "/etc/ssh/stint_principals"
# Root lines may not hold for everybody: they would leave an administrator's own key with forced commands alone.
ROOT_NEEDS_ADDRESS = (
    "Logins as root may change for the gateway's address alone, or administrators could lock themselves out. Set "
    "STINT_SSH_SOURCE_ADDRESS to the address that targets see the gateway come from, or give the targets an account of "
    f"their own, such as {ACCOUNT}."
)


def principal_of(cluster: str) -> str:
    """Return the principal of a cluster's certificates. Never an account's name: one authority signs for all clusters, and
    a target must be able to tell whose commands it lets in.
    """
    return f"stint:{cluster}"


class NoSetup(ValueError):
    """There are no lines that could be run safely; the message says what is missing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """The set-up of a cluster's targets, as text.

    ``accounts`` are those that Stint logs in to. ``ca_keys`` are the public keys of all authorities that are not retired.
    ``gateways`` are the addresses or networks that targets see gateways come from; without any, the lines hold for every
    address. Raises NoSetup without an authority, and for root without an address.
    """

    cluster: str
    accounts: Sequence[str]
    ca_keys: Sequence[str]
    gateways: Sequence[str] = ()

    def __post_init__(self) -> None:
        if not self.ca_keys:
            raise NoSetup("There is no SSH certificate authority yet.")
        if "root" in self.accounts and not (self.gateways and all(map(_is_bounded, self.gateways))):
            raise NoSetup(ROOT_NEEDS_ADDRESS)

    @property
    def config_file(self) -> str:
        """Where sshd's lines go: a host may be a target of several clusters."""
        return f"/etc/ssh/sshd_config.d/10-stint-{self.cluster}.conf"

    @property
    def principal(self) -> str:
        """What certificates of this cluster are for."""
        return principal_of(self.cluster)

    @property
    def keys(self) -> str:
        """The authorities' keys, one a line."""
        return "".join(f"{key.strip()}\n" for key in self.ca_keys)

    @property
    def config(self) -> str:
        """The lines of sshd_config; all but the exemption from penalties stand in a Match block."""
        where = f" Address {','.join(self.gateways)}" if self.gateways else ""
        lines = [
            f"Match User {','.join(self._accounts)}{where}",
            f"    TrustedUserCAKeys {CA_FILE}",
            f"    AuthorizedPrincipalsFile {PRINCIPALS}/%u",
            f"    RevokedKeys {KRL_FILE}",
            "    DisableForwarding yes",
            "    PermitUserRC no",
            "    ClientAliveInterval 10",
            "    ClientAliveCountMax 2",
        ]
        if "root" in self.accounts:
            lines.append("    PermitRootLogin forced-commands-only")
        return "\n".join(lines) + "\n"

    @property
    def krl(self) -> str:
        """The line that makes an empty list of revoked keys where there is none: without the file every login is refused."""
        return f"[ -e {KRL_FILE} ] || echo {empty_krl_base64()} | base64 -d > {KRL_FILE}"

    @property
    def changes(self) -> list[str]:
        """What the lines change for whom, in sentences."""
        names, addresses = _listed(self._accounts), _listed(self.gateways)
        found = [
            f"Logins as {names} from {addresses} change; from all other addresses they stay unchanged."
            if self.gateways
            else f"Logins as {names} change from every address.",
            f"They accept certificates that Stint signs for this cluster ({self.principal}), each for one approved command.",
            "They accept no other certificate authority, forward nothing and don't run ~/.ssh/rc.",
        ]
        if "root" in self.accounts:
            found.append(
                f"As root, from {addresses}, passwords and your own keys no longer work, unless the key has a "
                "forced command. Keep another way in."
            )
        if ACCOUNT in self.accounts:
            found.append(
                f"The account {ACCOUNT} is created if needed, without a password or keys: only Stint can log in as "
                "it. You decide what it may do on the host."
            )
        if self.gateways:
            found.append(
                f"From OpenSSH 9.8, failed logins from {addresses} lock nobody out, for any account. A "
                "PerSourcePenaltyExemptList of your own must include these addresses: sshd reads only one."
            )
        return [*found, "No other logins change."]

    @property
    def script(self) -> str:
        """All of it, to be run as root; running it again is safe."""
        return "".join(
            (
                f"# Stint setup for the targets of {self.cluster}. Run as root on each; running it again is safe.\n",
                *(f"# - {sentence}\n" for sentence in self.changes),
                # Where somebody has become root by `su`, sshd may not be found.
                "set -eu\numask 022\nPATH=$PATH:/usr/sbin:/sbin\n",
                _make_account() if ACCOUNT in self.accounts else "",
                _write(CA_FILE, self.keys),
                # An existing list may revoke something.
                f"{self.krl}\n",
                self._let_in(),
                _write(self.config_file, self.config),
                _exempt(self.config_file, self.gateways) if self.gateways else "",
                f"chmod 0644 {CA_FILE} {KRL_FILE} {self.config_file}\n",
                self._keep_only_if_good(),
                self._prove_read(),
                _RELOAD,
            )
        )

    @property
    def _accounts(self) -> list[str]:
        return sorted(set(self.accounts))

    def _let_in(self) -> str:
        """Other clusters that share the host keep their lines."""
        return (
            f"mkdir -p {PRINCIPALS}\n"
            f"for file in {' '.join(f'{PRINCIPALS}/{name}' for name in self._accounts)}; do\n"
            f"  grep -qsxF {self.principal} $file || echo {self.principal} >> $file\n"
            "  chmod 0644 $file\n"
            "done\n"
        )

    def _keep_only_if_good(self) -> str:
        """An sshd that refuses its configuration would not start again, and let nobody in."""
        return (
            # Where sshd is started by a connection, its folder may not be there yet.
            "mkdir -p /run/sshd\n"
            f"sshd -t || {{ rm -f {self.config_file}; echo 'sshd rejects the lines above; they were removed.' >&2; exit 1; }}\n"
        )

    def _prove_read(self) -> str:
        """Lines in a file that nothing includes, or behind another Match, would change nothing and say nothing."""
        came_from = self.gateways[0].partition("/")[0] if self.gateways else "192.0.2.1"
        return "".join(
            f"sshd -T -C user={name},host=gateway,addr={came_from} | grep -qx 'authorizedprincipalsfile {PRINCIPALS}/%u' || {{\n"
            f'  echo \'sshd does not follow {self.config_file} for {name}: put "Include /etc/ssh/sshd_config.d/*.conf" at the '
            "top of /etc/ssh/sshd_config.' >&2\n"
            "  exit 1\n"
            "}\n"
            for name in self._accounts
        )


_RELOAD = (
    "systemctl try-reload-or-restart ssh 2>/dev/null || systemctl try-reload-or-restart sshd 2>/dev/null || "
    '[ ! -e /run/sshd.pid ] || kill -HUP "$(cat /run/sshd.pid)"\n'
)


def _make_account() -> str:
    # Its home is nothing that a command could write to; `*` is no password, and not the lock that sshd refuses.
    return (
        f"id {ACCOUNT} >/dev/null 2>&1 || "
        f"useradd --system --no-create-home --home-dir / --shell /bin/sh --password '*' {ACCOUNT}\n"
    )


def _write(path: str, text: str) -> str:
    return f"cat > {path} <<'END'\n{text}END\n"


def _exempt(config_file: str, gateways: Sequence[str]) -> str:
    """Unknown before OpenSSH 9.8, where nothing gives penalties; and it can't stand in a Match block."""
    return (
        "if sshd -T 2>/dev/null | grep -qi '^persourcepenalt'; then\n"
        f"  sed -i '1i PerSourcePenaltyExemptList {','.join(gateways)}' {config_file}\n"
        "fi\n"
    )


def _is_bounded(network: str) -> bool:
    """Whether it is less than every address."""
    return not network.endswith("/0")


def _listed(names: Sequence[str]) -> str:
    return " and ".join(filter(None, [", ".join(names[:-1]), names[-1] if names else ""]))
