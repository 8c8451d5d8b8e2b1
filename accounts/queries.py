"""Queries on identities."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass
from functools import reduce
from operator import or_

from django.contrib.auth.models import Group
from django.db.models import Q, QuerySet

from accounts.models import APIToken, Identity, Kind, SSHPublicKey, answers_for
from broker.kernel.crypto import token_digest
from broker.kernel.postgresql.rows import Rows, ask


@dataclass(frozen=True, slots=True)
class KeyHolder:
    """The identity that owns an SSH key."""

    id: int
    username: str
    key_id: int


_KEYS = Rows(SSHPublicKey, "identity__owner", tail="WHERE accounts_sshpublickey.fingerprint = %s")


def identity_by_fingerprint(fingerprint: str) -> KeyHolder | None:
    """Return the enabled identity with this key (`SHA256:…`), or None."""
    key = registered_key(fingerprint)
    if key is None or key.removed_at is not None or not key.identity.may_act:
        return None
    return KeyHolder(key.identity.pk, key.identity.username, key.pk)


def may_give_credentials(actor: Identity, identity: Identity) -> bool:
    """Whether the actor can create a key or a token for the identity. People can do so only for themselves
    and their own machines.

    Anyone with another identity's credentials can act as that identity. The rule also applies to
    administrators: otherwise, an administrator could request as a machine and approve as a person.
    """
    return answers_for(actor, identity)


def administers(identity: Identity) -> bool:
    """Whether the identity is a person who administers Stint, a policy or a cluster, directly or through a
    group.
    """
    if not identity.is_person or identity.is_superuser:
        return identity.is_person
    if identity.held is not None:
        return any(codename.startswith("administer_") for _, codename in identity.held())
    own = (f"{owner}{noun}" for noun in ("cluster", "accesspolicy") for owner in ("", "groups__"))
    kinds = ("userobjectpermission", "groupobjectpermission")
    held = (
        Q(**{f"{one}{kinds[one.startswith('groups__')]}__permission__codename__startswith": "administer_"})
        for one in own
    )
    return Identity.objects.filter(pk=identity.pk).filter(reduce(or_, held)).exists()


def registered_key(fingerprint: str) -> SSHPublicKey | None:
    """Return the key with that fingerprint, even if it was removed, or None."""
    return _KEYS.first(fingerprint)


def removed_keys(fingerprints: Iterable[str]) -> frozenset[str]:
    """Return the fingerprints of removed keys. A fingerprint identifies one key permanently."""
    removed = SSHPublicKey.objects.filter(fingerprint__in=list(fingerprints), removed_at__isnull=False)
    return frozenset(removed.values_list("fingerprint", flat=True))


def group_names(identity: Identity) -> frozenset[str]:
    """Return the names of the identity's groups."""
    return frozenset(name for (name,) in ask(_GROUPS, identity.pk))


_GROUPS = """
SELECT name FROM auth_group JOIN accounts_identity_groups ON group_id = auth_group.id WHERE identity_id = %s
"""
_ENABLED_AND_GROUPS = """
SELECT one.is_active AND (one.kind = 'person' OR coalesce(owner.is_active, false)),
       ARRAY(SELECT name FROM auth_group JOIN accounts_identity_groups ON group_id = auth_group.id
              WHERE identity_id = one.id)
  FROM accounts_identity one LEFT JOIN accounts_identity owner ON owner.id = one.owner_id WHERE one.id = %s
"""


def enabled_and_groups(identity: Identity) -> tuple[bool, frozenset[str]]:
    """Return whether the identity may act now, and the names of its groups."""
    found = ask(_ENABLED_AND_GROUPS, identity.pk)
    return any(may_act for may_act, _ in found), frozenset(name for _, names in found for name in names)


# The value of `person` for accounts of people without an email address. Such an account could belong to
# anyone.
UNKNOWN = ""


def persons_of(identity: Identity) -> frozenset[str]:
    """Return the people behind an account: the person with its email address and, for a machine, the
    owner.
    """
    owner = identity.owner or identity
    return frozenset({identity.person, owner.person})


def are_same_person(one: Identity, other: Identity) -> bool:
    """Whether two accounts belong to the same person, or could: the same account, an owner and their machine,
    two machines of one owner, accounts with the same email address, or any account of a person without an
    address.
    """
    persons = persons_of(one), persons_of(other)
    return not persons[0].isdisjoint(persons[1]) or any(UNKNOWN in those for those in persons)


def same_person(identity: Identity, path: str = "") -> Q:
    """Return the condition that accounts belong to the same person. All accounts without an email address
    count as the same person. ``path`` leads from a row to its account, such as `holder__`.
    """
    persons = persons_of(identity)
    return Q((f"{path}person__in", persons)) | Q((f"{path}owner__person__in", persons))


def known_but(people: QuerySet[Identity], but: Iterable[Identity]) -> QuerySet[Identity]:
    """Return the accounts, excluding every account of the people in ``but``, and those without an email
    address.

    Returns none if someone in ``but`` has no email address.
    """
    barred = _barred(but)
    return people.none() if barred is None else people.exclude(person__in=barred)


def _barred(but: Iterable[Identity]) -> frozenset[str] | None:
    """Return the people in ``but``, and the accounts without an email address; None if they could be
    anyone.
    """
    barred = frozenset[str]().union(*(persons_of(identity) for identity in but))
    return None if UNKNOWN in barred else barred | {UNKNOWN}


def people_in(groups: Iterable[str], *, but: Iterable[Identity]) -> QuerySet[Identity]:
    """Return the enabled accounts of people in any of the groups, excluding every account of the people in
    ``but``.
    """
    people = Identity.objects.active().filter(kind=Kind.PERSON, groups__name__in=list(groups))
    return known_but(people, but).distinct()


def each_person(accounts: Iterable[Identity]) -> list[Identity]:
    """Return the first account of each person, because people, not accounts, are notified, shown and
    counted.
    """
    found: dict[str, Identity] = {}
    for account in accounts:
        found.setdefault(account.person, account)
    return list(found.values())


def each_person_in(groups: Iterable[str], *, but: Iterable[Identity]) -> list[Identity]:
    """Return the first account, by name, of each person in `people_in`."""
    barred = _barred(but)
    if barred is None:
        return []
    return each_person(_PEOPLE(list(groups), list(barred)))


_IN = """
   FROM accounts_identity
   JOIN accounts_identity_groups ON identity_id = accounts_identity.id
   JOIN auth_group ON auth_group.id = group_id
  WHERE is_active AND kind = 'person' AND auth_group.name = ANY(%s) AND person <> ALL(%s)
"""
_PEOPLE = Rows(
    Identity,
    tail=f"""
WHERE accounts_identity.id IN (SELECT accounts_identity.id {_IN})
ORDER BY accounts_identity.name, accounts_identity.username
""",
)
_PERSONS = f"SELECT DISTINCT person, auth_group.name {_IN}"


def groups_of_people(groups: Iterable[str], *, but: Iterable[Identity]) -> tuple[frozenset[str], ...]:
    """Return, for each person in any of the groups, which of the groups the person's accounts belong to.
    Excludes the people in ``but``.
    """
    barred = _barred(but)
    found: dict[str, set[str]] = {}
    for person, group in ask(_PERSONS, list(groups), list(barred)) if barred is not None else ():
        found.setdefault(person, set()).add(group)
    return tuple(frozenset(names) for _, names in sorted(found.items()))


def valid_token(text: str, now: dt.datetime) -> APIToken | None:
    """Return the API token with this text if it is valid at ``now`` and its identity may act; otherwise None.

    The identity is bound to the token's workflow, so that it can neither see nor request anything else.
    """
    token = _marked(text)
    return token if token is not None and token.is_valid(now) else None


def bound_token(text: str) -> APIToken | None:
    """Return the API token with this text if it is bound to a workflow and not revoked, even if expired,
    otherwise None.

    The token's identity may act, and is bound as in `valid_token`. The token alone authorizes nothing.
    """
    token = _marked(text)
    return token if token is not None and token.workflow and token.revoked_at is None else None


_TOKENS = Rows(APIToken, "identity__owner", tail="WHERE accounts_apitoken.digest = %s")


def _marked(text: str) -> APIToken | None:
    token = _TOKENS.first(token_digest(text))
    if token is None or not token.identity.may_act:
        return None
    token.identity.bound_to = token.workflow
    return token


def groups() -> list[str]:
    """Return the names of all groups."""
    return list(Group.objects.order_by("name").values_list("name", flat=True)[:200])


def members(group: str) -> list[str]:
    """Return the usernames of a group's members."""
    found = Identity.objects.filter(groups__name=group)
    return list(found.order_by("username").values_list("username", flat=True))
