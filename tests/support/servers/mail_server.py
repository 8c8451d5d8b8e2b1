"""A mail server on loopback that can refuse mails."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session

from broker.demo.ports import free_port


@dataclass
class MailServer:
    """The mails that it accepted, and the answers by which it refuses addresses."""

    took: list[str] = field(default_factory=list)
    refuses: dict[str, str] = field(default_factory=dict)
    sender: str = ""
    connections: int = 0

    async def handle_EHLO(  # noqa: N802  # so aiosmtpd calls it
        self, server: SMTP, session: Session, envelope: Envelope, hostname: str, responses: list[str]
    ) -> list[str]:
        """Count connections, each of which sends EHLO once."""
        self.connections += 1
        session.host_name = hostname
        return responses

    async def handle_MAIL(  # noqa: N802  # the same
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        """Accept the sender, or refuse every one."""
        if self.sender:
            return self.sender
        envelope.mail_from = address
        return "250 OK"

    async def handle_RCPT(  # noqa: N802  # the same
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        """Accept a recipient, unless it is one to refuse."""
        if answer := self.refuses.get(address):
            return answer
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(  # noqa: N802  # the same
        self, server: SMTP, session: Session, envelope: Envelope
    ) -> str:
        """Accept the mail."""
        self.took += envelope.rcpt_tos
        return "250 OK"


@contextmanager
def mail_server(settings) -> Iterator[MailServer]:
    """Run a mail server that Stint sends to until the block ends."""
    server = MailServer()
    controller = Controller(server, hostname="127.0.0.1", port=free_port())
    controller.start()
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT, settings.EMAIL_USE_TLS = "127.0.0.1", controller.port, False
    try:
        yield server
    finally:
        controller.stop()
