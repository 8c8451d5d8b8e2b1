"""Identities and what they prove themselves with."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Collection, Mapping
from typing import Any, ClassVar

from django.contrib.auth.models import AbstractBaseUser, BaseUserManager, PermissionsMixin
from django.db import models
from django.db.models import Case, Q, Value, When
from django.db.models.functions import Cast, Concat, Now, Upper

from accounts.names import checked_username


class Kind(models.TextChoices):
    """What an identity is. Services and agents ask and hold; they never approve."""

    PERSON = "person"
    SERVICE = "service"
    AGENT = "agent"


class IdentityManager(BaseUserManager["Identity"]):
    """Makes identities with canonical names."""

    def create_user(self, username: str, password: str | None = None, **fields: Any) -> Identity:
        """Create an identity; without a password nobody can sign in as it."""
        identity = self.model(username=checked_username(username), **fields)
        identity.set_password(password)
        identity.full_clean(exclude=["password"])
        identity.save(using=self._db)
        return identity


def answered_for_by(identity: Identity, path: str = "") -> Q:
    """Return the condition that somebody is the identity itself, or a machine that it owns. ``path`` leads from a row to them:
    `holder`, `grant__holder`; without one the row is theirs.
    """
    return Q((path or "pk", identity.pk)) | Q((f"{path}__owner" if path else "owner", identity.pk))


class IdentityQuerySet(models.QuerySet["Identity"]):
    """Filters on identities."""

    def active(self) -> IdentityQuerySet:
        """Those who may act: enabled, and, for machines, with an enabled owner."""
        return self.filter(is_active=True).filter(Q(kind=Kind.PERSON) | Q(owner__is_active=True))


class Identity(AbstractBaseUser, PermissionsMixin):
    """Who may ask or hold: a person, a service or an agent. The last two have an owner who is a person."""

    username = models.CharField(max_length=100, unique=True)
    name = models.CharField(max_length=200, blank=True)
    email = models.EmailField(blank=True)
    # Changed by an administrator: until its owner confirms it, it names nobody to the identity provider, or whoever changes
    # it could act as them.
    email_unconfirmed = models.BooleanField(default=False, db_default=False)
    kind = models.CharField(max_length=10, choices=Kind.choices, default=Kind.PERSON)
    owner = models.ForeignKey(
        "self", null=True, blank=True, on_delete=models.PROTECT, related_name="machines"
    )
    is_active = models.BooleanField("enabled", default=True)
    disabled_at = models.DateTimeField(null=True, blank=True)
    # Which person an account is of: all accounts with one mail address, in any spelling, are of one. A machine stands for its
    # owner as well; `accounts.queries.persons_of` says so.
    person = models.GeneratedField(
        expression=Case(
            When(email="", then=Concat(Value("#", models.TextField()), Cast("id", models.TextField()))),
            default=Upper(Cast("email", models.TextField())),
        ),
        output_field=models.TextField(),
        db_persist=True,
    )
    time_zone = models.CharField(max_length=64, default="UTC")
    created_at = models.DateTimeField(db_default=Now())
    # Another person chose the password: until it is replaced, a sign-in with it opens the page that replaces it and no other.
    password_given = models.BooleanField(default=False, db_default=False)
    # How often all sign-ins were ended without another password.
    sign_ins_ended = models.PositiveIntegerField(default=0, db_default=0)

    # The workflow that the current token is bound to; set at the lookup of the token, and never stored.
    bound_to: str = ""
    # When the browser session that acts was last shown a password or a factor; set where a session is read, and never stored.
    # None: no session acts.
    proven_at: dt.datetime | None = None
    # What it holds on rows of the catalogue, by noun and permission, for as long as one page is read; None: read each time.
    held: Callable[[], Mapping[tuple[str, str], Collection[int]]] | None = None

    USERNAME_FIELD = "username"
    EMAIL_FIELD = "email"
    REQUIRED_FIELDS: ClassVar[list[str]] = []

    objects = IdentityManager.from_queryset(IdentityQuerySet)()

    class Meta:
        verbose_name_plural = "identities"
        indexes: ClassVar = [models.Index(fields=["person"], name="identity_person")]
        constraints: ClassVar = [
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
        """What a sign-in is held against, so that one from before another password, or before all were ended, is over."""
        return f"{super().get_session_auth_hash()}{self.sign_ins_ended or ''}"

    # Properties

    @property
    def is_person(self) -> bool:
        """Whether this is a person, who alone may approve."""
        return self.kind == Kind.PERSON

    @property
    def is_staff(self) -> bool:
        """Django's word for administrators."""
        return self.is_superuser

    @property
    def initials(self) -> str:
        """Two letters for the round picture."""
        words = (self.name or self.username).replace(".", " ").replace("-", " ").split()
        return "".join(word[0] for word in words[:2]).upper()


class SSHPublicKey(models.Model):
    """A public key that an identity proves itself with at the SSH gateway. One key belongs to one identity for ever."""

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
    """Who somebody of the company's identity provider is here. ``subject`` is the provider's own name for them, for ever;
    ``email`` is what it said when they were linked, and means nothing afterwards.
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
    """What an API token may be used for; a token never does more than its identity."""

    READ = "read"
    REQUEST = "request"
    DECIDE = "decide"
    END = "end"
    ADMINISTER = "administer"


class APIToken(models.Model):
    """A bearer token of an identity. Shown once; only its digest is stored.

    ``workflow`` is the reference of the workflow that all its requests are bound to; empty: none.
    """

    identity = models.ForeignKey(Identity, on_delete=models.CASCADE, related_name="tokens")
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
        """Whether the token opens anything at ``now``."""
        return self.revoked_at is None and self.expires_at > now


class DeviceState(models.TextChoices):
    """How far a program's sign-in has come."""

    PENDING = "pending"
    ALLOWED = "allowed"
    DENIED = "denied"
    USED = "used"


class DeviceAuthorization(models.Model):
    """A program that waits for a person to let it act as them (RFC 8628). Of both of its codes only digests are kept.

    ``interval`` is how many seconds must lie between two of its questions. ``address`` is where it asked from.
    """

    device_digest = models.CharField(max_length=64, unique=True)
    user_digest = models.CharField(max_length=64, unique=True)
    client_id = models.CharField(max_length=50)
    scopes = models.JSONField(default=list)
    address = models.CharField(max_length=64, blank=True)
    state = models.CharField(max_length=10, choices=DeviceState.choices, default=DeviceState.PENDING)
    identity = models.ForeignKey(Identity, null=True, on_delete=models.CASCADE, related_name="+")
    interval = models.PositiveSmallIntegerField()
    asked_at = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(db_default=Now())
    expires_at = models.DateTimeField(db_index=True)

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return f"{self.client_id} from {self.address or 'an unknown address'}"
