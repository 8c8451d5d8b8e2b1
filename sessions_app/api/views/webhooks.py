"""Webhooks: their endpoints, messages and deliveries. Only their owners and administrators see them."""

from __future__ import annotations

import datetime as dt
from typing import ClassVar

from rest_framework.request import Request
from rest_framework.response import Response

from broker.kernel import clock
from sessions_app.api import reads
from sessions_app.api.bodies import Nothing, Replay, Rotation
from sessions_app.api.endpoint import Endpoint
from sessions_app.api.filters import ByName, ByNumber
from sessions_app.api.idempotency import once
from sessions_app.api.schema import described, paged
from sessions_app.api.shapes.webhooks import (
    FreshSecretShape,
    ReplayedShape,
    WebhookMessageShape,
    WebhookShape,
)
from sessions_app.operations.notifications.pause_webhook import pause_webhook
from sessions_app.operations.notifications.replay_webhooks import replay_webhooks
from sessions_app.operations.notifications.resume_webhook import resume_webhook
from sessions_app.operations.notifications.rotate_webhook_secret import rotate_webhook_secret
from sessions_app.operations.notifications.try_webhook import try_webhook


class Webhooks(Endpoint):
    """The webhooks that the caller may see."""

    @described(paged(WebhookShape), query=ByName)
    def get(self, request: Request) -> Response:
        """List the webhooks that you own, by name. Webhooks are created by catalog files or in the web
        interface.
        """
        return self.page(reads.webhooks(self.identity), WebhookShape, self.query(ByName), key="name")


class OneWebhook(Endpoint):
    """One webhook."""

    @described(WebhookShape)
    def get(self, request: Request, name: str) -> Response:
        """Get a webhook and its status."""
        return self.answer(WebhookShape, reads.webhook_of(self.identity, name))


class WebhookMessages(Endpoint):
    """The messages of a webhook."""

    @described(paged(WebhookMessageShape), query=ByNumber)
    def get(self, request: Request, name: str) -> Response:
        """List the messages of a webhook from the last 30 days, newest first."""
        found = reads.webhook_of(self.identity, name).messages.all()
        return self.page(found, WebhookMessageShape, self.query(ByNumber))


class WebhookTry(Endpoint):
    """Sends a test message."""

    @described(WebhookMessageShape, body=Nothing)
    @once
    def post(self, request: Request, name: str) -> Response:
        """Send a test message to a webhook."""
        self.body(Nothing)
        found = reads.webhook_of(self.identity, name)
        sent = try_webhook(endpoint_id=found.pk, actor=self.identity, now=clock.now())
        return self.answer(WebhookMessageShape, sent)


class WebhookPause(Endpoint):
    """Pauses a webhook."""

    @described(WebhookShape, body=Nothing)
    @once
    def post(self, request: Request, name: str) -> Response:
        """Pause a webhook. New messages are queued."""
        self.body(Nothing)
        found = reads.webhook_of(self.identity, name)
        paused = pause_webhook(endpoint_id=found.pk, actor=self.identity, now=clock.now())
        return self.answer(WebhookShape, paused)


class WebhookResume(Endpoint):
    """Resumes a webhook."""

    @described(WebhookShape, body=Nothing)
    @once
    def post(self, request: Request, name: str) -> Response:
        """Resume a webhook and send queued messages."""
        self.body(Nothing)
        found = reads.webhook_of(self.identity, name)
        resumed = resume_webhook(endpoint_id=found.pk, actor=self.identity, now=clock.now())
        return self.answer(WebhookShape, resumed)


class WebhookSecret(Endpoint):
    """Rotates the signing secret."""

    answers_secret: ClassVar[bool] = True
    shown = ""

    @described(FreshSecretShape, body=Rotation)
    @once
    def post(self, request: Request, name: str) -> Response:
        """Rotate the secret of a webhook. The new secret is shown once; messages are also signed with the
        previous one for a while.
        """
        overlap = dt.timedelta(seconds=self.body(Rotation)["overlap"])
        found = reads.webhook_of(self.identity, name)
        self.shown = rotate_webhook_secret(
            endpoint_id=found.pk, actor=self.identity, now=clock.now(), overlap=overlap
        )
        return self.answer(FreshSecretShape, reads.webhook_of(self.identity, name))


class WebhookReplay(Endpoint):
    """Replays messages."""

    @described(ReplayedShape, body=Replay)
    @once
    def post(self, request: Request, name: str) -> Response:
        """Replay one message of a webhook, or all events since a time."""
        sent = self.body(Replay)
        found = reads.webhook_of(self.identity, name)
        count = replay_webhooks(
            endpoint_id=found.pk,
            actor=self.identity,
            now=clock.now(),
            message_id=sent["message"],
            since=sent["since"],
        )
        return self.answer(ReplayedShape, {"count": count})
