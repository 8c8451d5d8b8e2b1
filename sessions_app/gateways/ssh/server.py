"""The SSH server: the requests that a client may make before and after it authenticates.

All others are refused.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable, Iterable
from typing import Any

import asyncssh
import structlog

from accounts.queries import KeyHolder, identity_by_fingerprint
from broker.kernel.errors import Unavailable
from sessions_app.connectors.ssh.connection import gather
from sessions_app.connectors.ssh.options import CLOSED, FAST_CIPHERS, LONGEST_PACKET
from sessions_app.gateways.core import metrics
from sessions_app.gateways.core.registry import OpenSession, Registry, User
from sessions_app.gateways.core.unproven import Unproven
from sessions_app.gateways.ssh.admission import Proof, admit, choose, choose_for_files
from sessions_app.gateways.ssh.channel import Channel
from sessions_app.gateways.ssh.parts import Parts
from sessions_app.gateways.ssh.prompt import LONGEST_LINE
from sessions_app.operations.sessions.authorize_use import used_from
from sessions_app.operations.sessions.proofs.holder import Use
from sessions_app.policy.commands.answers import Allowed, Refused

log = structlog.get_logger(__name__)

LOGIN_TIMEOUT = 15
# A registered key takes two attempts: one to offer it, and one to sign with it.
AUTH_TRIES = 11
UNPROVEN, UNPROVEN_PER_ADDRESS = 100, 40
# How many unregistered keys of people who have a registered key are remembered.
BESIDE = 10_000
CHANNELS = 8
# In seconds. A connection without a session is closed after the first, or after the second if it has had
# a session (a control master).
IDLE_FIRST, IDLE_LATER = 15.0, 300.0
KEEPALIVE_INTERVAL, KEEPALIVE_COUNT = 15, 3

# Turn off everything that the library's server offers besides sessions, especially agent forwarding, which
# is on by default.
SERVER_OPTIONS: dict[str, Any] = {
    **CLOSED,
    "sftp_factory": None,
    "allow_scp": False,
    "allow_pty": True,
    # For clients that have no more keys to offer: shows them where to register a key, without a prompt.
    "kbdint_auth": True,
    "process_factory": None,
    "session_factory": None,
    "authorized_client_keys": None,
    "server_host_certs": [],
    # Clients learn the next host key before it is used.
    "send_server_host_keys": True,
    "rdns_lookup": False,
    "encoding": None,
    "line_editor": True,
    "line_history": 200,
    # The editor drops input beyond this length. A line of this length may be incomplete, so the prompt
    # refuses it.
    "max_line_length": LONGEST_LINE + 1,
    "login_timeout": LOGIN_TIMEOUT,
    "keepalive_interval": KEEPALIVE_INTERVAL,
    "keepalive_count_max": KEEPALIVE_COUNT,
    "server_version": "Stint",
    "encryption_algs": list(FAST_CIPHERS),
    # Fewer and larger packets take less CPU.
    "max_pktsize": LONGEST_PACKET,
}


class Admissions:
    """Counts connections that have not authenticated, and whether the gateway admits anyone."""

    def __init__(
        self, parts: Parts, registry: Registry, public_url: str, closed_because: Callable[[], str]
    ) -> None:
        """``closed_because`` returns why no one is admitted; empty if the gateway is open."""
        self.parts = parts
        self.registry = registry
        self.public_url = public_url
        self._closed_because = closed_because
        self.connections: set[Connection] = set()
        self.unproven = Unproven(UNPROVEN, per_address=UNPROVEN_PER_ADDRESS)
        # Oldest first.
        self._beside: dict[str, None] = {}

    @property
    def closed_because(self) -> str:
        """The reason why no one is admitted; empty if the gateway is open."""
        return self._closed_because()

    def knows_holder_of(self, fingerprint: str) -> bool:
        """Whether the client that offered this unregistered key has authenticated with another key before."""
        return fingerprint in self._beside

    def note_beside(self, fingerprints: Iterable[str]) -> None:
        """Remember the unregistered keys of a person who has a registered key."""
        self._beside.update(dict.fromkeys(fingerprints))
        while len(self._beside) > BESIDE:
            del self._beside[next(iter(self._beside))]


class Connection(asyncssh.SSHServer):
    """One client's connection."""

    def __init__(self, admissions: Admissions) -> None:
        self.parts = admissions.parts
        self.channels: set[User] = set()
        self._admissions = admissions
        self._conn: asyncssh.SSHServerConnection | None = None
        self._address = ""
        self._counted = False
        self._tries = 0
        self._told = False
        self._known: dict[str, KeyHolder | None] = {}
        # The last key that was validated; after authentication, the key that was proven.
        self._candidate: Proof | None = None
        self._proof: Proof | None = None
        self._sessions: dict[int, OpenSession[Use]] = {}
        self._idle: asyncio.TimerHandle | None = None

    def connection_made(self, conn: asyncssh.SSHServerConnection) -> None:
        self._conn = conn
        gather(conn)
        self._admissions.connections.add(self)
        self._address = str((conn.get_extra_info("peername") or ("",))[0])
        _acknowledge_at_once(conn)
        why = self._admissions.unproven.arrive(self._address)
        self._counted = not why
        if why:
            self._refuse(why)

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        self._admissions.connections.discard(self)
        self._stop_counting()
        self._cancel_idle()
        for session in list(self._sessions.values()):
            session.close("the holder disconnected" if session.users else "done")

    # Authentication.

    def begin_auth(self, username: str) -> bool:
        """Always require authentication: returning False would admit everyone."""
        del username
        if self._admissions.closed_because:
            self._tell(self._admissions.closed_because)
        return True

    def public_key_auth_supported(self) -> bool:
        return True

    async def validate_public_key(  # type: ignore[override]  # the base allows an awaitable
        self, username: str, key: asyncssh.SSHKey
    ) -> bool:
        """Whether the key is registered. The library then checks that the client has the
        private key.
        """
        self._candidate = None
        self._tries += 1
        if self._tries > AUTH_TRIES or self._admissions.closed_because or self._conn is None:
            self._refuse("too many keys")
            return False
        fingerprint = key.get_fingerprint()
        holder = await self._holder(fingerprint)
        if holder is None:
            self._tell_unregistered(fingerprint)
            return False
        self._candidate = Proof(holder.id, holder.username, fingerprint, username)
        return True

    def _tell_unregistered(self, fingerprint: str) -> None:
        """Show where keys are registered.

        A client that can't prompt disconnects after its last key is refused, so the message is sent before
        that. A client that then offers a registered key gets the message once, and never again for this key.
        """
        if not self._admissions.knows_holder_of(fingerprint):
            more = "If none of your keys is registered, add this one and try again"
            self._tell(f"Your key {fingerprint} is not registered. {more}: {self._where}")

    @property
    def _where(self) -> str:
        return f"{self._admissions.public_url}/account/#public_key"

    def kbdint_auth_supported(self) -> bool:
        return True

    def get_kbdint_challenge(self, username: str, lang: str, submethods: str) -> bool:
        """Show clients without any key where keys are registered. Never authenticates anyone."""
        del username, lang, submethods
        self._tries += 1
        if self._tries > AUTH_TRIES:
            self._refuse("too many keys")
            return False
        self._tell(f"No registered SSH key was offered. Add yours and try again: {self._where}")
        return False

    def auth_completed(self) -> None:
        """Record the proof if it was given under the connection's current user name."""
        conn, proof = self._conn, self._candidate
        self._stop_counting()
        if conn is None:
            return
        if proof is None or proof.asked_as != conn.get_extra_info("username"):
            self._refuse("no proof")
            return
        self._proof = proof
        self._admissions.note_beside(key for key, holder in self._known.items() if holder is None)
        del conn.data_received
        self._wait_idle(IDLE_FIRST)
        log.info("connection.proven", holder=proof.username, key=proof.fingerprint, address=self._address)

    async def _holder(self, fingerprint: str) -> KeyHolder | None:
        if fingerprint not in self._known:
            try:
                self._known[fingerprint] = await self.parts.database.run(
                    identity_by_fingerprint, fingerprint=fingerprint
                )
            except Unavailable as error:
                self._tell(str(error))
                return None
        return self._known[fingerprint]

    def _tell(self, text: str) -> None:
        """Show why authentication fails, but only the first reason, because later ones follow from it."""
        if self._conn is not None and not self._told:
            self._told = True
            self._conn.send_auth_banner(f"stint: {text}\r\n")

    def _refuse(self, why: str) -> None:
        metrics.CONNECTIONS_REFUSED.labels(why).inc()
        if self._conn is not None:
            self._conn.abort()

    # Sessions. The base class refuses forwarding of ports, sockets and devices.

    def session_requested(self) -> Any:
        if (
            self._proof is None
            or self._conn is None
            or len(self.channels) >= CHANNELS
            or self._admissions.closed_because
        ):
            return False
        self._cancel_idle()
        raw = self._conn.create_server_channel(encoding=None)
        # Refuse environment variables, because each would be kept as long as the channel.
        raw._process_env_request = lambda packet: False  # type: ignore[method-assign]  # noqa: ARG005, SLF001  # no public way
        channel = Channel(self, raw)
        # Counted now, because in a burst of requests the library reports new channels only at the end.
        self.channels.add(channel)
        return raw, channel

    async def session_for(self, line: str | None) -> tuple[OpenSession[Use], Allowed | Refused | None]:
        """Return the session for a line or for the prompt, and the decision on the line.

        Raises NoAccess, Suspended, SeveralGrants, Unavailable.
        """
        proof, uses = await self._uses()
        chosen = choose(uses, line, asked_as=proof.asked_as, public_url=self._admissions.public_url)
        return self._session_of(chosen.use, proof), chosen.decision

    async def session_for_files(self) -> OpenSession[Use]:
        """Return the session of the grant that has file rules.

        Raises NoAccess, Suspended, SeveralGrants, Unavailable.
        """
        proof, uses = await self._uses()
        use = choose_for_files(uses, asked_as=proof.asked_as, public_url=self._admissions.public_url)
        return self._session_of(use, proof)

    async def _uses(self) -> tuple[Proof, list[Use]]:
        if self._proof is None:
            raise AssertionError
        return self._proof, await self.parts.database.run(
            admit, proof=self._proof, now=self.parts.clock.now()
        )

    def _session_of(self, use: Use, proof: Proof) -> OpenSession[Use]:
        use = used_from(use, self._address)
        found = self._sessions.get(use.grant_id)
        if found is None or found.closed:
            found = OpenSession(
                self._admissions.registry, use, client_address=self._address, proof=proof.fingerprint
            )
            self._sessions[use.grant_id] = found
        else:
            # Later commands use the new state of the grant.
            found.use = use
        return found

    def left(self, channel: User) -> None:
        """Handle the end of a channel."""
        self.channels.discard(channel)
        if not self.channels:
            self._wait_idle(IDLE_LATER)

    def abort_if_unused(self, channel: User) -> None:
        """Cut the connection unless other channels use it."""
        if not self.channels - {channel} and self._conn is not None:
            self._conn.abort()

    def abort(self) -> None:
        """Cut the connection."""
        if self._conn is not None:
            self._conn.abort()

    def _wait_idle(self, seconds: float) -> None:
        self._cancel_idle()
        self._idle = asyncio.get_running_loop().call_later(seconds, self._let_go)

    def _let_go(self) -> None:
        if not self.channels and self._conn is not None:
            self._conn.disconnect(asyncssh.DISC_BY_APPLICATION, "No command was requested.")

    def _cancel_idle(self) -> None:
        if self._idle is not None:
            self._idle.cancel()
            self._idle = None

    def _stop_counting(self) -> None:
        if self._counted:
            self._counted = False
            self._admissions.unproven.depart(self._address)


def _acknowledge_at_once(conn: asyncssh.SSHServerConnection) -> None:
    """Acknowledge packets during the handshake without the kernel's delay of 40 ms (tcp(7), TCP_QUICKACK).

    Clients hold a small packet back until the previous one is acknowledged. Two packets in a handshake have
    no reply that could carry the acknowledgment. The kernel resets the option, so it is set for each packet.
    """
    sock = conn.get_extra_info("socket")
    receive = conn.data_received

    def receive_quickly(data: bytes, datatype: int | None = None) -> None:
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
        receive(data, datatype)

    conn.data_received = receive_quickly  # type: ignore[method-assign]
