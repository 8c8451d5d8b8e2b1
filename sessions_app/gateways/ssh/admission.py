"""Determine who connects, the target that they request, and which of their grants covers it."""

from __future__ import annotations

import datetime as dt
import re
from dataclasses import dataclass

from accounts.queries import identity_by_fingerprint
from broker.kernel.errors import StintError
from sessions_app.operations.sessions.authorize_use import authorize_use
from sessions_app.operations.sessions.open_session import RESUMABLE
from sessions_app.operations.sessions.proofs.holder import ByHolder, Use
from sessions_app.policy import references
from sessions_app.policy.commands.answers import Allowed, Refused
from sessions_app.policy.commands.ssh.decide import decide
from sessions_app.policy.commands.ssh.tree import has_files
from sessions_app.queries.grants.suspensions import suspended_at

_REFERENCE = re.compile(references.GRANT, re.IGNORECASE)
_NAME = re.compile(r"[A-Za-z0-9_-]{1,63}")


class NoAccess(StintError):
    """You have no access now. The message says where to request it."""

    code = "no_access"
    status = 403


class Suspended(StintError):
    """Your grant is suspended, so nothing new can run. An approver can resume it."""

    code = "grant_is_held"
    status = 403


class SeveralGrants(StintError):
    """More than one grant matches. Name the grant to use, as the message shows."""

    code = "several_grants"
    status = 409


@dataclass(frozen=True, slots=True)
class Proof:
    """An identity, with the key and the user name with which it authenticated."""

    identity_id: int
    username: str
    fingerprint: str
    asked_as: str


@dataclass(frozen=True, slots=True)
class Wish:
    """The target, and the grant if one is named, in an SSH user name: ``web-1`` or ``GR-7F3K.web-1``."""

    target: str
    grant_ref: str | None


def parse_wish(username: str) -> Wish | None:
    """Return the target and grant that a user name requests; None if it can't name a target."""
    ref, dot, target = username.rpartition(".")
    if dot and not _REFERENCE.fullmatch(ref):
        return None
    return Wish(target, ref.upper() if dot else None) if _NAME.fullmatch(target) else None


def admit(*, proof: Proof, now: dt.datetime) -> list[Use]:
    """Return the uses that this proof and user name allow now. Looks the key up again, since it may have been
    removed.

    Raises Suspended if the only grants that would be usable are suspended.
    """
    wish = parse_wish(proof.asked_as)
    holder = identity_by_fingerprint(proof.fingerprint)
    if wish is None or holder is None or holder.id != proof.identity_id:
        return []
    uses = authorize_use(by=ByHolder(holder.id, wish.target, wish.grant_ref, now))
    if not uses and (why := suspended_at(holder.id, "ssh", wish.target, wish.grant_ref, now)):
        raise Suspended(why, hint=RESUMABLE)
    return uses


@dataclass(frozen=True, slots=True)
class Chosen:
    """The use that applies, and its decision on the line; None for a prompt, which has no line yet."""

    use: Use
    decision: Allowed | Refused | None


def choose(uses: list[Use], line: str | None, *, asked_as: str, public_url: str) -> Chosen:
    """Return the use that applies. ``line`` None means a prompt. Raises NoAccess or SeveralGrants."""
    wish = parse_wish(asked_as)
    if not uses or wish is None:
        raise NoAccess(_nothing(wish, public_url))
    decided = [Chosen(use, None if line is None else decide(use.compiled, line)) for use in uses]
    fitting = [one for one in decided if not isinstance(one.decision, Refused)]
    if len(uses) == 1 or not fitting:
        return decided[0]
    if len(fitting) == 1:
        return fitting[0]
    raise _several([one.use for one in fitting], wish)


def choose_for_files(uses: list[Use], *, asked_as: str, public_url: str) -> Use:
    """Return the one use with file rules. Raises NoAccess or SeveralGrants."""
    wish = parse_wish(asked_as)
    if not uses or wish is None:
        raise NoAccess(_nothing(wish, public_url))
    fitting = [use for use in uses if has_files(use.compiled)]
    if len(fitting) > 1:
        raise _several(fitting, wish)
    if not fitting:
        raise NoAccess(
            f"{uses[0].grant_ref} allows no file transfers on {wish.target}. Request a command set with"
            f" file rules: {public_url}/requests/new/?target={wish.target}"
        )
    return fitting[0]


def _several(uses: list[Use], wish: Wish) -> SeveralGrants:
    names = " or ".join(f"{use.grant_ref}.{wish.target}" for use in uses)
    return SeveralGrants(
        f"{len(uses)} of your grants match.", hint=f"Use one of these as the username: {names}."
    )


def _nothing(wish: Wish | None, public_url: str) -> str:
    if wish is None:
        return "Unknown target. Connect as TARGET or GRANT.TARGET, such as GR-7F3K.web-1."
    under = f" under {wish.grant_ref}" if wish.grant_ref else ""
    return (
        f"You have no active access to {wish.target}{under}. Request it:"
        f" {public_url}/requests/new/?target={wish.target}"
    )
