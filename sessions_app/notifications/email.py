"""Mail, from three templates: subject, text, HTML."""

from __future__ import annotations

import smtplib

from django.core.mail import EmailMultiAlternatives
from django.template.loader import render_to_string

from sessions_app.notifications.base import Message, NotTold

_PERMANENT = range(500, 600)


class Email:
    """Sends by the mail server of the settings."""

    def send(self, message: Message) -> None:
        """Send one mail. Raises NotTold."""
        subject, text, html = (
            render_to_string(f"emails/notice-{part}", {"message": message})
            for part in ("subject.txt", "body.txt", "body.html")
        )
        mail = EmailMultiAlternatives(" ".join(subject.split()), text, to=list(message.to))
        mail.attach_alternative(html, "text/html")
        try:
            mail.send()
        except smtplib.SMTPResponseException as error:
            raise NotTold(
                f"The mail server said {error.smtp_code}.", permanent=error.smtp_code in _PERMANENT
            ) from error
        except (OSError, smtplib.SMTPException) as error:
            raise NotTold(f"The mail server can't be reached: {error}", permanent=False) from error
