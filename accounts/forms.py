"""The sign-in form."""

from __future__ import annotations

from typing import Any

from allauth.account.forms import LoginForm

from accounts.names import canonical_username


class SignInForm(LoginForm):  # type: ignore[misc]  # allauth ships no types
    """allauth's form, which makes the name canonical before the name is looked up or counted."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields.pop("remember", None)
        for name, label in (("login", "Username"), ("password", "Password")):
            self.fields[name].label = label
            self.fields[name].widget.attrs = {
                "class": "ctl",
                "autocomplete": "username" if name == "login" else "current-password",
            }

    def clean_login(self) -> str:
        """Return the canonical name, so that all spellings share one lockout counter."""
        return canonical_username(str(self.cleaned_data["login"]))
