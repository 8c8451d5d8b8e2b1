"""How people sign in, and how many of their requests and commands can wait for approval."""

from __future__ import annotations

from broker.env import Group

SIGN_IN = Group("Sign-in", "For administrators who decide how people sign in to the pages.")
SIGN_IN_HOURS = SIGN_IN.number("STINT_SIGN_IN_HOURS", 12, "How long a sign-in to the pages lasts, in hours.")
SECOND_FACTOR = SIGN_IN.choice(
    "STINT_SECOND_FACTOR",
    ("optional", "required"),
    "With `required`, a password sign-in without a second factor opens only the page that sets one up."
    " Sign-ins through the identity provider, API tokens and SSH keys don't require one.",
)
PASSWORD_SIGN_IN = SIGN_IN.boolean(
    "STINT_PASSWORD_SIGN_IN",
    True,
    "If off, only administrators can sign in with a password, for when the identity provider is down. This"
    " requires `STINT_OIDC_ISSUER`.",
)
OIDC_ISSUER = SIGN_IN.text(
    "STINT_OIDC_ISSUER",
    "",
    "The identity provider for sign-in by OpenID Connect: the exact `issuer` in its"
    " `/.well-known/openid-configuration`. Set it together with the client ID and the client secret. See"
    " [Sign in with your identity provider](/docs/security/#sign-in-with-your-identity-provider).",
    values="a URL, such as `https://company.okta.com`",
)
OIDC_CLIENT_ID = SIGN_IN.text(
    "STINT_OIDC_CLIENT_ID", "", "The client ID that the identity provider issued for Stint."
)
OIDC_CLIENT_SECRET = SIGN_IN.secret(
    "STINT_OIDC_CLIENT_SECRET", "The client secret that belongs to the client ID."
)
OIDC_NAME = SIGN_IN.text(
    "STINT_OIDC_NAME",
    "",
    "The provider's name on the sign-in button, such as `Okta`.",
    shown="the issuer's host name",
)
OIDC_GROUPS_CLAIM = SIGN_IN.text(
    "STINT_OIDC_GROUPS_CLAIM",
    "",
    "The claim that lists a person's groups, such as `groups`. Set it together with `STINT_OIDC_GROUPS`.",
)
OIDC_GROUPS = SIGN_IN.items(
    "STINT_OIDC_GROUPS",
    (),
    (
        "The groups in Stint whose members are set from the claim at each sign-in. All other groups are"
        " unchanged."
    ),
    values="group names, separated by commas",
)

LIMITS = Group(
    "Pending approvals",
    "For administrators: limits that keep the lists of approvers short. A person's accounts and machines"
    " count together. Incidents and break-glass access count separately.",
)
OPEN_REQUESTS_PER_PERSON = LIMITS.number(
    "STINT_OPEN_REQUESTS_PER_PERSON",
    20,
    "The maximum number of one person's requests that can wait for approval at the same time.",
    least=1,
)
WAITING_COMMANDS_PER_GRANT = LIMITS.number(
    "STINT_WAITING_COMMANDS_PER_GRANT",
    10,
    "The maximum number of held commands of one grant that can wait for approval at the same time.",
    least=1,
)
WAITING_COMMANDS_PER_PERSON = LIMITS.number(
    "STINT_WAITING_COMMANDS_PER_PERSON",
    30,
    "The maximum number of one person's held commands that can wait for approval at the same time.",
    least=1,
)
