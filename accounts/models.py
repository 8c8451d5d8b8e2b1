"""Identities and the credentials that they prove themselves with."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Collection, Mapping
from typing import Any, ClassVar

from django.contrib.auth.models import AbstractBaseUser, BaseUserManager, PermissionsMixin
from django.db import models
from django.db.models import Case, F, Func, Q, Value, When
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
    """Creates identities with canonical names."""

    def create_user(self, username: str, password: str | None = None, **fields: Any) -> Identity:
        """Create an identity. Without a password, no one can sign in as it."""
        identity = self.model(username=checked_username(username), **fields)
        identity.set_password(password)
        identity.full_clean(exclude=["password"])
        identity.save(using=self._db)
        return identity


def answered_for_by(identity: Identity, path: str = "") -> Q:
    """Return the condition that an identity is this one, or a machine that this one owns. ``path`` leads from a row to
    the identity, such as `holder` or `grant__holder`; without it, the rows are identities.
    """
    return Q((path or "pk", identity.pk)) | Q((f"{path}__owner" if path else "owner", identity.pk))


# The same condition in SQL, on the identity ``mine``. Both values are the id of the one who answers.
ANSWERED_FOR = "(mine.id = %s OR mine.owner_id = %s)"


def answers_for(identity: Identity, other: Identity) -> bool:
    """Whether the other identity is this one, or a machine that this one owns: `answered_for_by` for one row."""
    return identity.pk in (other.pk, other.owner_id)


# The condition that an identity may act: it is enabled and, for a machine, so is its owner.
MAY_ACT = Q(is_active=True) & (Q(kind=Kind.PERSON) | Q(owner__is_active=True))


class IdentityQuerySet(models.QuerySet["Identity"]):
    """Filters on identities."""

    def active(self) -> IdentityQuerySet:
        """Return identities that may act: enabled and, for machines, with an enabled owner."""
        return self.filter(MAY_ACT)


class Identity(AbstractBaseUser, PermissionsMixin):
    """An identity that may request or hold access: a person, a service or an agent. The last two have a person as
    owner.
    """

    username = models.CharField(max_length=100, unique=True)
    name = models.CharField(max_length=200, blank=True)
    email = MailboxField(blank=True)
    # An administrator changed the address. Until its owner confirms it, the identity provider can't identify anyone by
    # it. Otherwise, whoever changes an address could act as its owner.
    email_unconfirmed = models.BooleanField(default=False, db_default=False)
    kind = models.CharField(max_length=10, choices=Kind.choices, default=Kind.PERSON)
    owner = models.ForeignKey(
        "self", null=True, blank=True, on_delete=models.PROTECT, related_name="machines"
    )
    is_active = models.BooleanField("enabled", default=True)
    disabled_at = models.DateTimeField(null=True, blank=True)
    # The person behind an account: all accounts with one mail address, in upper or lower case, belong to one person.
    # Empty for a person's account without one: nobody knows whose it is. A machine stands for its owner as well; see
    # `accounts.queries.persons_of`.
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
    # Another person chose the password. Until it is replaced, a sign-in with it opens only the page that replaces it.
    password_given = models.BooleanField(default=False, db_default=False)
    # How often all sign-ins were ended without a password change.
    sign_ins_ended = models.PositiveIntegerField(default=0, db_default=0)

    # The workflow that the current token is bound to. Set when the token is looked up, and never stored.
    bound_to: str = ""
    # When the acting browser session last showed a password or a factor. Set when a session is read, and never stored.
    # None: no session acts.
    proven_at: dt.datetime | None = None
    # The catalog rows on which it holds permissions, by noun and permission, cached while one page is read. None: read
    # each time.
    held: Callable[[], Mapping[tuple[str, str], Collection[int]]] | None = None

    USERNAME_FIELD = "username"
    EMAIL_FIELD = "email"
    REQUIRED_FIELDS: ClassVar[list[str]] = []

    objects = IdentityManager.from_queryset(IdentityQuerySet)()

    class Meta:
        verbose_name_plural = "identities"
        indexes: ClassVar = [models.Index(fields=["person"], name="identity_person")]
        constraints: ClassVar = [
            # Otherwise, two spellings of one address would be two people.
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
        """Return the value that a sign-in is compared with. It changes with the password and when all sign-ins are
        ended, so that earlier sign-ins become invalid.
        """
        return f"{super().get_session_auth_hash()}{self.sign_ins_ended or ''}"

    # Properties

    @property
    def is_person(self) -> bool:
        """Whether this is a person. Only people may approve."""
        return self.kind == Kind.PERSON

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
    """The identity of an account at the company's identity provider. ``subject`` is the provider's permanent name for
    the account. ``email`` is the address at the time of linking, and means nothing afterwards.
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
    """The permitted uses of an API token. A token never allows more than its identity may do."""

    READ = "read"
    REQUEST = "request"
    DECIDE = "decide"
    END = "end"
    ADMINISTER = "administer"


class APIToken(models.Model):
    """A bearer token of an identity. It is shown once; only its digest is stored.

    ``workflow`` is the reference of the workflow that all its requests are bound to; empty for none. ``made_by`` is the
    token that created it, which it does not outlive; None if a person, the server or a trust policy did.
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
    """A program that waits for a person to authorize it to act as them (RFC 8628). Only digests of its two codes are
    stored.

    ``interval`` is the minimum number of seconds between two of its polls. ``address`` is where it asked from.
    ``sign_in`` is the `get_session_auth_hash` of the person who decided: what they allowed ends with their sign-ins.
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
    """How often a password or a code was guessed lately (`accounts.attempts`). ``subject`` is a digest of what is
    counted: an address, an account or both. Each attempt moves ``until``, the time at which all of them are forgotten.
    """

    subject = models.CharField(max_length=64, primary_key=True)
    until = models.DateTimeField(db_index=True)

    class Meta:
        default_permissions = ()


class UsualAddress(models.Model):
    """An address (`source_of`) from which someone has signed in. After ``until``, it is no longer usual."""

    identity = models.ForeignKey(Identity, on_delete=models.CASCADE, related_name="+")
    source = models.CharField(max_length=64)
    until = models.DateTimeField(db_index=True)

    class Meta:
        default_permissions = ()
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["identity", "source"], name="usual_address_once")
        ]
