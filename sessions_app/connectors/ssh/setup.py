"""The one-time setup of a target: an account, the CA keys, the principals that the account accepts, and
sshd's settings.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sessions_app.connectors.ssh.as_root import sudoers
from sessions_app.connectors.ssh.krl import empty_krl_base64
from sessions_app.connectors.ssh.wrapper import AS_ROOT, AS_ROOT_SCRIPT
from sessions_app.policy.commands.ssh.as_root import RootLine

# The login account on targets, unless a target's document names another.
ACCOUNT = "stint"
CA_FILE, KRL_FILE = "/etc/ssh/stint_ca.pub", "/etc/ssh/stint_krl"
# One file for each account, with one line for each cluster whose certificates it accepts.
PRINCIPALS = "/etc/ssh/stint_principals"
# Settings for root must not apply to every address, because they would restrict an administrator's own key
# to forced commands.
ROOT_NEEDS_ADDRESS = (
    "The setup may change root logins only from the gateway's address; otherwise administrators could "
    "lock themselves out. Set STINT_SSH_SOURCE_ADDRESS to the address from which the gateway connects to "
    f"targets, or use a separate account on the targets, such as {ACCOUNT}."
)


def principal_of(cluster: str) -> str:
    """Return the principal of a cluster's certificates.

    It is never an account name: one CA signs for all clusters, so targets must be able to distinguish the
    clusters whose commands they accept.
    """
    return f"stint:{cluster}"


class NoSetup(ValueError):
    """There is no safe setup for the cluster. The message states what is missing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """The setup of a cluster's targets, as text.

    ``accounts`` are the accounts that Stint logs in to. ``ca_keys`` are the public keys of all CAs that are
    not retired. ``gateways`` are the source addresses or networks of gateways as targets see them; if
    empty, the settings apply to every address. ``root_lines`` are the commands that the cluster's command
    sets run as root through sudo. Raises NoSetup without a CA, and for root without an address.
    """

    cluster: str
    accounts: Sequence[str]
    ca_keys: Sequence[str]
    gateways: Sequence[str] = ()
    root_lines: Sequence[RootLine] = ()

    def __post_init__(self) -> None:
        if not self.ca_keys:
            raise NoSetup("There is no SSH certificate authority yet.")
        if "root" in self.accounts and not (self.gateways and all(map(_is_bounded, self.gateways))):
            raise NoSetup(ROOT_NEEDS_ADDRESS)

    @property
    def config_file(self) -> str:
        """The path of the file with sshd's settings.

        Each cluster has its own file, because a host can be a target of several clusters.
        """
        return f"/etc/ssh/sshd_config.d/10-stint-{self.cluster}.conf"

    @property
    def principal(self) -> str:
        """The principal of this cluster's certificates."""
        return principal_of(self.cluster)

    @property
    def keys(self) -> str:
        """The keys of the CAs, one per line."""
        return "".join(f"{key.strip()}\n" for key in self.ca_keys)

    @property
    def config(self) -> str:
        """The settings for sshd_config.

        All of them are in a Match block, except the exemption from penalties.
        """
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
    def sudoers_file(self) -> str:
        """The path of the sudoers file. Each cluster has its own."""
        return f"/etc/sudoers.d/stint-{self.cluster}"

    @property
    def sudoers(self) -> str:
        """The sudoers lines of the accounts; empty if there are none, or if the accounts are root."""
        return sudoers(self._by_sudo, self.root_lines) if self._by_sudo else ""

    @property
    def krl(self) -> str:
        """The command that creates an empty key revocation list if none exists: without the file, every
        login is refused.
        """
        return f"[ -e {KRL_FILE} ] || echo {empty_krl_base64()} | base64 -d > {KRL_FILE}"

    @property
    def changes(self) -> list[str]:
        """What the setup changes, and for which logins, in sentences."""
        names, addresses = _listed(self._accounts), _listed(self.gateways)
        found = [
            (
                f"Logins as {names} from {addresses} change; from all other addresses they stay unchanged."
                if self.gateways
                else f"Logins as {names} change from every address."
            ),
            (
                f"They accept certificates that Stint signs for this cluster ({self.principal}), each for one"
                " approved command."
            ),
            "They accept no other certificate authority, forward nothing and don't run ~/.ssh/rc.",
        ]
        if "root" in self.accounts:
            found.append(
                f"As root, from {addresses}, passwords and your own keys no longer work, unless the key "
                "has a forced command. Keep another way to log in."
            )
        if ACCOUNT in self.accounts:
            found.append(
                f"The account {ACCOUNT} is created if needed, without a password or keys: only Stint can "
                "log in as it. The account has no special permissions: a command that needs root has "
                "`as: root` in its command set."
            )
        if self._by_sudo:
            found.append(
                f"sudo lets {_listed(self._by_sudo)} run exactly the {len(self.root_lines)} lines of "
                f"{self.sudoers_file} as root, each through {AS_ROOT}, which also ends the command. "
                "These are the "
                "commands of the command sets."
            )
        if self.gateways:
            found.append(
                f"In OpenSSH 9.8 and newer, failed logins from {addresses} no longer lock out anyone, "
                "for any account. A "
                "PerSourcePenaltyExemptList of your own must include these addresses, because sshd reads "
                "only one."
            )
        return [*found, "No other logins change."]

    @property
    def script(self) -> str:
        """The whole setup, to be run as root. Running it again is safe."""
        return "".join(
            (
                (
                    f"# Stint setup for the targets of {self.cluster}. Run as root on each; running it again"
                    " is safe.\n"
                ),
                *(f"# - {sentence}\n" for sentence in self.changes),
                # After `su`, sshd may not be on the PATH.
                "set -eu\numask 022\nPATH=$PATH:/usr/sbin:/sbin\n",
                _make_account() if ACCOUNT in self.accounts else "",
                _write(CA_FILE, self.keys),
                # An existing list may contain revocations.
                f"{self.krl}\n",
                self._let_in(),
                _write(self.config_file, self.config),
                _exempt(self.config_file, self.gateways) if self.gateways else "",
                f"chmod 0644 {CA_FILE} {KRL_FILE} {self.config_file}\n",
                self._keep_only_if_good(),
                self._prove_read(),
                self._let_run_as_root(),
                _RELOAD,
            )
        )

    @property
    def _accounts(self) -> list[str]:
        return sorted(set(self.accounts))

    @property
    def _by_sudo(self) -> list[str]:
        return [name for name in self._accounts if name != "root"] if self.root_lines else []

    def _let_run_as_root(self) -> str:
        """Write the sudoers lines only if sudo accepts and reads them.

        If there are no lines, remove the previous ones.
        """
        if not self._by_sudo:
            return f"rm -f {self.sudoers_file}\n"
        account, sample = self._by_sudo[0], " ".join(self.root_lines[0].sample)
        return "".join(
            (
                (
                    "command -v visudo >/dev/null || { echo 'Some commands run as root: install sudo, then"
                    " run this again.' >&2; exit 1; }\n"
                ),
                _NEW_SUDO if any(line.is_expression for line in self.root_lines) else "",
                _write(AS_ROOT, AS_ROOT_SCRIPT),
                f"chmod 0755 {AS_ROOT}\n",
                # sudo skips files with a period in their name.
                _write(f"{self.sudoers_file}.new", self.sudoers),
                _INSTALL_SUDOERS.format(
                    file=self.sudoers_file, account=account, command=f"{AS_ROOT} {sample}"
                ),
            )
        )

    def _let_in(self) -> str:
        """Add the principal to each account's file. Lines of other clusters that share the host are kept."""
        return (
            f"mkdir -p {PRINCIPALS}\n"
            f"for file in {' '.join(f'{PRINCIPALS}/{name}' for name in self._accounts)}; do\n"
            f"  grep -qsxF {self.principal} $file || echo {self.principal} >> $file\n"
            "  chmod 0644 $file\n"
            "done\n"
        )

    def _keep_only_if_good(self) -> str:
        """Remove the settings if sshd rejects them: otherwise sshd could not restart, and would
        lock everyone out.
        """
        return (
            # With socket activation, sshd's runtime directory may not exist yet.
            f"mkdir -p /run/sshd\nsshd -t || {{ rm -f {self.config_file}; echo 'sshd rejects the lines above;"
            " they were removed.' >&2; exit 1; }\n"
        )

    def _prove_read(self) -> str:
        """Check that sshd reads the settings.

        In a file that is not included, or after another Match, they would silently have no effect.
        """
        came_from = self.gateways[0].partition("/")[0] if self.gateways else "192.0.2.1"
        return "".join(
            f"sshd -T -C user={name},host=gateway,addr={came_from} | grep -qx 'authorizedprincipalsfile"
            f" {PRINCIPALS}/%u' || {{\n"
            f"  echo 'sshd does not follow {self.config_file} for {name}: put \"Include"
            ' /etc/ssh/sshd_config.d/*.conf" at the '
            "top of /etc/ssh/sshd_config.' >&2\n"
            "  exit 1\n"
            "}\n"
            for name in self._accounts
        )


_RELOAD = (
    "systemctl try-reload-or-restart ssh 2>/dev/null || systemctl try-reload-or-restart sshd 2>/dev/null || "
    '[ ! -e /run/sshd.pid ] || kill -HUP "$(cat /run/sshd.pid)"\n'
)


_INSTALL_SUDOERS = """\
chmod 0440 {file}.new
visudo -cqf {file}.new || {{
  rm -f {file}.new
  echo 'sudo rejects the lines above; they were removed.' >&2
  exit 1
}}
mv {file}.new {file}
sudo -n -l -U {account} {command} >/dev/null || {{
  echo 'sudo does not follow {file}: put "@includedir /etc/sudoers.d" at the end of /etc/sudoers.' >&2
  exit 1
}}
"""
# Older versions of sudo would read a regular expression as a plain word.
_NEW_SUDO = (
    "[ \"$(printf '%s\\n' 1.9.10 \"$(sudo -V | sed -n '1s/.* //p')\" | sort -V | head -n 1)\" = 1.9.10 ] ||"
    " {\n  echo 'Numbers and patterns in commands that run as root need sudo 1.9.10 or newer; list choices"
    " instead.' >&2\n  exit 1\n}\n"
)


def _make_account() -> str:
    # Commands can't write to this home directory. `*` is not a valid password, but unlike `!`, it
    # doesn't lock the account for sshd.
    return (
        f"id {ACCOUNT} >/dev/null 2>&1 || "
        f"useradd --system --no-create-home --home-dir / --shell /bin/sh --password '*' {ACCOUNT}\n"
    )


def _write(path: str, text: str) -> str:
    return f"cat > {path} <<'END'\n{text}END\n"


def _exempt(config_file: str, gateways: Sequence[str]) -> str:
    """Exempt the gateways from penalties.

    Before OpenSSH 9.8 there are none, and the option is unknown. It can't be in a Match block.
    """
    return (
        "if sshd -T 2>/dev/null | grep -qi '^persourcepenalt'; then\n"
        f"  sed -i '1i PerSourcePenaltyExemptList {','.join(gateways)}' {config_file}\n"
        "fi\n"
    )


def _is_bounded(network: str) -> bool:
    """Whether a network is smaller than all addresses."""
    return not network.endswith("/0")


def _listed(names: Sequence[str]) -> str:
    return " and ".join(filter(None, [", ".join(names[:-1]), names[-1] if names else ""]))
