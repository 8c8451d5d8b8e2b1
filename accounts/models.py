"""Identities and their credentials."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Collection, Mapping
from typing import Any, ClassVar

from django.contrib.auth.models import AbstractBaseUser, BaseUserManager, PermissionsMixin
from django.db import models
from django.db.models import Case, F, Func, Q, Value, When
from django.db.models.expressions import RawSQL
from django.db.models.functions import Cast, Concat, Now, Upper

from accounts.mailboxes import MailboxField
from accounts.names import checked_username

_NFKC = Func(F("email"), template="normalize(%(expressions)s, NFKC)", output_field=models.TextField())


class Kind(models.TextChoices):
    """The kind of an identity. Services and agents request and hold access; they never approve."""

    PERSON = "person"
    SERVICE = "service"
    AGENT = "agent"


class IdentityManager(BaseUserManager["Identity"]):
    """A manager that creates identities with canonical names."""

    def create_user(self, username: str, password: str | None = None, **fields: Any) -> Identity:
        """Create an identity. Without a password, no one can sign in as the identity."""
        identity = self.model(username=checked_username(username), **fields)
        identity.set_password(password)
        identity.full_clean(exclude=["password"])
        identity.save(using=self._db)
        return identity


def answered_for_by(identity: Identity, path: str = "") -> Q:
    """Return the condition that a row belongs to the identity, or to a machine that the identity owns.

    ``path`` leads from a row to its identity, such as `holder` or `grant__holder`; without a path, the rows
    themselves are identities.
    """
    if identity.answers_for_ids is not None:
        return Q((f"{path or 'pk'}__in", identity.answers_for_ids()))
    return Q((path or "pk", identity.pk)) | Q((f"{path}__owner" if path else "owner", identity.pk))


# The same condition in SQL, with the table alias ``mine``. Both values are the ID of the responsible
# identity.
ANSWERED_FOR = "(mine.id = %s OR mine.owner_id = %s)"


def answers_for(identity: Identity, other: Identity) -> bool:
    """Whether the other identity is this one, or a machine that this one owns, like `answered_for_by`."""
    return identity.pk in (other.pk, other.owner_id)


# The condition that an identity may act: it is enabled and, for a machine, so is its owner.
MAY_ACT = Q(is_active=True) & (Q(kind=Kind.PERSON) | Q(owner__is_active=True))


class IdentityQuerySet(models.QuerySet["Identity"]):
    """Filters on identities."""

    def active(self) -> IdentityQuerySet:
        """Return identities that may act: enabled and, for machines, with an enabled owner."""
        return self.filter(MAY_ACT)


class Identity(AbstractBaseUser, PermissionsMixin):
    """An identity that can request or hold access: a person, or a service or agent that a person owns."""

    username = models.CharField(max_length=100, unique=True)
    name = models.CharField(max_length=200, blank=True)
    email = MailboxField(blank=True)
    # An administrator changed the address. Until the person confirms it, the address is not used to link an
    # account at the identity provider. Otherwise, an administrator could sign in as that person.
    email_unconfirmed = models.BooleanField(default=False, db_default=False)
    kind = models.CharField(max_length=10, choices=Kind.choices, default=Kind.PERSON)
    owner = models.ForeignKey(
        "self", null=True, blank=True, on_delete=models.PROTECT, related_name="machines"
    )
    is_active = models.BooleanField("enabled", default=True)
    disabled_at = models.DateTimeField(null=True, blank=True)
    # The person behind an account. All accounts with the same email address, ignoring case, belong to one
    # person. Empty for a person's account without an address, whose owner is unknown. A machine also counts
    # as its owner; see `accounts.queries.persons_of`.
    person = models.GeneratedField(
        expression=Case(
            When(~Q(email=""), then=Upper(Cast("email", models.TextField()))),
            When(kind=Kind.PERSON, then=Value("", models.TextField())),
            default=Concat(Value("#", models.TextField()), Cast("id", models.TextField())),
        ),
        output_field=models.TextField(),
        db_persist=True,
    )
    time_zone = models.CharField(max_length=64, default="UTC")
    created_at = models.DateTimeField(db_default=Now())
    # Another person chose the password. Until the owner replaces it, a sign-in with this password opens only
    # the page for a new password.
    password_given = models.BooleanField(default=False, db_default=False)
    # The number of times that all sessions were ended without a change of password.
    sign_ins_ended = models.PositiveIntegerField(default=0, db_default=0)

    # The workflow that the current token is bound to. Set when the token is looked up; not stored.
    bound_to: str = ""
    # The time of the browser session's latest proof of identity. Set when a session is read; not stored.
    # None: the actor does not use a session.
    proven_at: dt.datetime | None = None
    # The catalog rows on which the identity has permissions, by noun and permission, cached during a request.
    # None: no cache.
    held: Callable[[], Mapping[tuple[str, str], Collection[int]]] | None = None
    # The ids of the identity and its machines, cached in the same way.
    answers_for_ids: Callable[[], Collection[int] | RawSQL] | None = None

    USERNAME_FIELD = "username"
    EMAIL_FIELD = "email"
    REQUIRED_FIELDS: ClassVar[list[str]] = []

    objects = IdentityManager.from_queryset(IdentityQuerySet)()

    class Meta:
        verbose_name_plural = "identities"
        indexes: ClassVar = [models.Index(fields=["person"], name="identity_person")]
        constraints: ClassVar = [
            # Stored in one spelling: otherwise, two spellings of one address would count as two people.
            models.CheckConstraint(
                condition=Q(email=_NFKC) & ~Q(email__regex=r'[^\x01-\x7f][^@]*$|"'),
                name="identity_email_has_one_spelling",
            ),
            models.CheckConstraint(
                condition=Q(kind=Kind.PERSON, owner__isnull=True)
                | (~Q(kind=Kind.PERSON) & Q(owner__isnull=False)),
                name="identity_machines_have_owners",
            ),
            models.CheckConstraint(
                condition=Q(kind=Kind.PERSON) | Q(is_superuser=False),
                name="identity_machines_never_administer",
            ),
        ]

    def __str__(self) -> str:
        return self.name or self.username

    def get_session_auth_hash(self) -> str:
        """Return the value with which sessions are compared. It changes with the password and when all
        sessions are ended, which invalidates earlier sessions.
        """
        return f"{super().get_session_auth_hash()}{self.sign_ins_ended or ''}"

    # Properties

    @property
    def is_person(self) -> bool:
        """Whether this is a person. Only people can approve."""
        return self.kind == Kind.PERSON

    @property
    def may_act(self) -> bool:
        """Whether `MAY_ACT` holds for this object, as it was read."""
        return self.is_active and (self.is_person or (self.owner is not None and self.owner.is_active))

    @property
    def is_staff(self) -> bool:
        """Django's name for administrators."""
        return self.is_superuser

    @property
    def initials(self) -> str:
        """Up to two letters for the avatar."""
        words = (self.name or self.username).replace(".", " ").replace("-", " ").split()
        return "".join(word[0] for word in words[:2]).upper()


class SSHPublicKey(models.Model):
    """A public key for authentication at the SSH gateway. A key permanently belongs to one identity."""

    identity = models.ForeignKey(Identity, on_delete=models.CASCADE, related_name="ssh_keys")
    label = models.CharField(max_length=100, blank=True)
    algorithm = models.CharField(max_length=64)
    public_key = models.TextField()
    fingerprint = models.CharField(max_length=64, unique=True)
    created_at = models.DateTimeField(db_default=Now())
    last_used_at = models.DateTimeField(null=True, blank=True)
    removed_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        verbose_name = "SSH public key"

    def __str__(self) -> str:
        return f"{self.label or self.algorithm} {self.fingerprint}"


class ProviderLink(models.Model):
    """The link of an identity to an account at the identity provider. ``subject`` is the provider's permanent
    ID of the account. ``email`` is the address at the time of linking, which is not used afterward.
    """

    identity = models.ForeignKey(Identity, on_delete=models.CASCADE, related_name="provider_links")
    issuer = models.CharField(max_length=300)
    subject = models.CharField(max_length=255)
    email = models.CharField(max_length=254)
    linked_at = models.DateTimeField(db_default=Now())

    class Meta:
        default_permissions = ()
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["issuer", "subject"], name="provider_link_one_identity"),
            models.UniqueConstraint(fields=["issuer", "identity"], name="provider_link_one_subject"),
        ]

    def __str__(self) -> str:
        return f"{self.email} of {self.issuer}"


class Scope(models.TextChoices):
    """The scopes of an API token. A token never allows more than its identity is allowed to do."""

    READ = "read"
    REQUEST = "request"
    DECIDE = "decide"
    END = "end"
    ADMINISTER = "administer"


class APIToken(models.Model):
    """An API token (bearer token) of an identity. The token is shown once; only its digest is stored.

    ``workflow`` is the reference of the workflow that all the token's requests are bound to, or empty.
    ``made_by`` is the token with which this one was created and with which it ends; None if a person, the
    server or a trust policy created it.
    """

    identity = models.ForeignKey(Identity, on_delete=models.CASCADE, related_name="tokens")
    made_by = models.ForeignKey("self", null=True, on_delete=models.CASCADE, related_name="+")
    label = models.CharField(max_length=100)
    hint = models.CharField(max_length=16)
    digest = models.CharField(max_length=64, unique=True)
    scopes = models.JSONField(default=list)
    workflow = models.CharField(max_length=200, blank=True, default="")
    created_at = models.DateTimeField(db_default=Now())
    expires_at = models.DateTimeField()
    last_used_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        verbose_name = "API token"

    def __str__(self) -> str:
        return f"{self.label} {self.hint}…"

    def is_valid(self, now: dt.datetime) -> bool:
        """Whether the token is valid at ``now``."""
        return self.revoked_at is None and self.expires_at > now


class DeviceState(models.TextChoices):
    """The progress of a program's sign-in."""

    PENDING = "pending"
    ALLOWED = "allowed"
    DENIED = "denied"
    USED = "used"


class DeviceAuthorization(models.Model):
    """A program that waits for a person to authorize it (RFC 8628). Only digests of its two codes are stored.

    ``interval`` is the minimum number of seconds between the program's polls. ``address`` is its client
    address. ``sign_in`` is the `get_session_auth_hash` of the person who decided, so that the authorization
    ends with their sessions.
    """

    device_digest = models.CharField(max_length=64, unique=True)
    user_digest = models.CharField(max_length=64, unique=True)
    client_id = models.CharField(max_length=50)
    scopes = models.JSONField(default=list)
    address = models.CharField(max_length=64, blank=True)
    state = models.CharField(max_length=10, choices=DeviceState.choices, default=DeviceState.PENDING)
    identity = models.ForeignKey(Identity, null=True, on_delete=models.CASCADE, related_name="+")
    sign_in = models.CharField(max_length=100, blank=True, default="")
    interval = models.PositiveSmallIntegerField()
    asked_at = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(db_default=Now())
    expires_at = models.DateTimeField(db_index=True)

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return f"{self.client_id} from {self.address or 'an unknown address'}"


class AttemptCount(models.Model):
    """The recent attempts to guess a password or a code (`accounts.attempts`). ``subject`` is a digest of an
    address, an account or both. Each attempt moves ``until``, the time at which all attempts expire.
    """

    subject = models.CharField(max_length=64, primary_key=True)
    until = models.DateTimeField(db_index=True)

    class Meta:
        default_permissions = ()


class UsualAddress(models.Model):
    """An address (`source_of`) from which a person has signed in. It counts as usual until ``until``."""

    identity = models.ForeignKey(Identity, on_delete=models.CASCADE, related_name="+")
    source = models.CharField(max_length=64)
    until = models.DateTimeField(db_index=True)

    class Meta:
        default_permissions = ()
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["identity", "source"], name="usual_address_once")
        ]
