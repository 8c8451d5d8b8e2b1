"""Email, rendered from three templates: subject, text and HTML."""

from __future__ import annotations

import smtplib
from collections.abc import Iterator
from contextlib import contextmanager
from email.errors import MessageError

from django.core.mail import EmailMultiAlternatives, get_connection
from django.template.loader import render_to_string

from sessions_app.notifications.base import Message, NotReached, NotSent

_PERMANENT = range(500, 600)


class Email:
    """Sends through the configured mail server, and reuses its connection."""

    def __init__(self) -> None:
        self._connection = get_connection()

    def send(self, message: Message) -> None:
        """Send one email. Raises NotSent, or NotReached if no email can currently be sent."""
        mail = _mail(message)
        mail.connection = self._connection
        with _reaching():
            self._connection.open()
        try:
            with _reaching(), _refused():
                mail.send()
        except NotReached:
            self.close()
            raise

    def close(self) -> None:
        """Close the connection. The next email opens a new one."""
        self._connection.close()


def _mail(message: Message) -> EmailMultiAlternatives:
    subject, text, html = (
        render_to_string(f"emails/notice-{part}", {"message": message})
        for part in ("subject.txt", "body.txt", "body.html")
    )
    mail = EmailMultiAlternatives(" ".join(subject.split()), text, to=list(message.to))
    mail.attach_alternative(html, "text/html")
    return mail


@contextmanager
def _reaching() -> Iterator[None]:
    """Raise NotReached for errors of the connection, the login or the sender, which don't depend on the
    message.
    """
    try:
        yield
    except smtplib.SMTPResponseException as error:
        raise NotReached(f"The mail server responded: {_said(error.smtp_code, error.smtp_error)}") from error
    except OSError as error:
        raise NotReached(f"The mail server can't be reached: {error}") from error


@contextmanager
def _refused() -> Iterator[None]:
    """Raise NotSent for errors in this message's addresses or content."""
    try:
        yield
    except smtplib.SMTPRecipientsRefused as error:
        answers = list(error.recipients.values())
        said = "; ".join(_said(code, text) for code, text in answers)
        permanent = all(code in _PERMANENT for code, _ in answers)
        raise NotSent(f"The mail server refused the address: {said}", permanent=permanent) from error
    except smtplib.SMTPDataError as error:
        said = _said(error.smtp_code, error.smtp_error)
        permanent = error.smtp_code in _PERMANENT
        raise NotSent(f"The mail server refused the message: {said}", permanent=permanent) from error
    except (smtplib.SMTPNotSupportedError, MessageError, ValueError) as error:
        raise NotSent(f"The address is not valid: {error}", permanent=True) from error


def _said(code: int, text: bytes | str) -> str:
    words = text.decode(errors="replace") if isinstance(text, bytes) else text
    return f"{code} {' '.join(words.split())[:200]}"
