"""The template context for the frame around every page."""

from __future__ import annotations

import datetime as dt
from functools import cached_property
from typing import Any, NamedTuple

from django.conf import settings
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone

from accounts.models import Identity
from broker.kernel.origins import at_port
from sessions_app.web.layout.reader import Standing, standing_of
from sessions_app.web.layout.views import SEEN, who
from sessions_app.web.moment import page_now

THEME_COOKIE = "stint_theme"
STREAM_PATH, TERMINAL_PATH = "/streams/changes", "/streams/terminal"
FRAME = "stint.frame"


class Link(NamedTuple):
    """A navigation link. ``counts`` names the live count beside the link; empty if there is none."""

    url: str
    icon: str
    label: str
    current: bool
    counts: str = ""
    waiting: int = 0


class Frame:
    """The frame of one page. Values are read only when a template uses them, so fragments without a frame
    cause no queries.
    """

    def __init__(self, request: HttpRequest, identity: Identity) -> None:
        self._path = request.path
        self._request = request
        self._identity = identity

    @cached_property
    def now(self) -> dt.datetime:
        """The page's current time in the reader's time zone."""
        return timezone.localtime(page_now())

    @property
    def clock(self) -> str:
        """The hour and minute in the reader's time zone."""
        return f"{self.now:%H:%M}"

    @property
    def utc_clock(self) -> str:
        """The hour and minute in UTC; empty if the reader's time zone currently equals UTC."""
        return f"{self.now.astimezone(dt.UTC):%H:%M}" if self.now.utcoffset() else ""

    @property
    def zone_name(self) -> str:
        """The reader's time zone, by its IANA name."""
        return timezone.get_current_timezone_name()

    @cached_property
    def standing(self) -> Standing:
        """The counts and flags in the frame, for its reader."""
        return standing_of(self._identity, self.now)

    @cached_property
    def waiting(self) -> int:
        """The number of items that wait for the reader's decision or answer."""
        return sum(self.standing.waiting)

    @property
    def seen(self) -> int:
        """The number of the record's last entry when the page was rendered."""
        return self._request.META.get(SEEN) or self.standing.seen

    @property
    def stream(self) -> str:
        """The address of the page's event stream."""
        return self._streams(STREAM_PATH)

    @property
    def terminal(self) -> str:
        """The address for live command output, without its query."""
        return self._streams(TERMINAL_PATH)

    def _streams(self, path: str) -> str:
        """Return an address on the stream server: below the page's own address, or on another port of the
        same host.
        """
        here = f"{self._request.scheme}://{self._request.get_host()}"
        if here not in settings.STREAMS_ORIGINS:
            return path
        return at_port(here, settings.STREAMS_DIRECT_PORT) + path

    @cached_property
    def work(self) -> list[Link]:
        """The links for requesting, approving and using access."""
        return [
            self._link("home", "home", "Home"),
            self._link("request_new", "plus", "Request access"),
            self._link("approvals", "stamp", "Approvals", "waiting", self.waiting),
            self._link("grants", "term", "Grants"),
            self._link("requests", "ticket", "Requests"),
            self._link("incidents", "flame", "Incidents"),
            self._link("workflows", "clock", "Workflows"),
            self._link("timeline", "gantt", "Timeline"),
        ]

    @cached_property
    def assure(self) -> list[Link]:
        """The links for auditing."""
        others = [
            self._link("people", "people", "People and machines"),
            self._link("who_can", "whocan", "Who can run this?"),
            self._link("permissions", "key", "Permissions"),
        ]
        return [
            self._link("record", "shield", "Record"),
            self._link("recordings", "rec", "Recordings"),
            self._link("status", "eye", "Status"),
            self._link("insight", "chart", "Insight"),
            *(others if self.standing.may_look else []),
        ]

    @cached_property
    def setup(self) -> list[Link]:
        """The links to the catalog and to the other setup pages that the reader can use."""
        others = [
            (self._identity.is_superuser, self._link("sources", "plug", "Workflow sources")),
            (self.standing.webhooks, self._link("webhooks", "link", "Webhooks")),
            (self.standing.trust_policies, self._link("trust_policies", "robot", "Trust policies")),
        ]
        return [
            self._link("clusters", "cluster", "Clusters"),
            self._link("command_sets", "cmd", "Command sets"),
            self._link("policies", "policy", "Policies"),
            *(link for shown, link in others if shown),
        ]

    @cached_property
    def tabs(self) -> list[Link]:
        """The links in the bar at the bottom of small screens."""
        return [
            self._link("home", "home", "Home"),
            self._link("request_new", "plus", "Request"),
            self._link("approvals", "stamp", "Approve", "waiting", self.waiting),
            self._link("grants", "term", "Grants"),
            self._link("more", "menu", "More"),
        ]

    def _link(self, name: str, icon: str, label: str, counts: str = "", count: int = 0) -> Link:
        url = reverse(name)
        if name == "requests":
            current = self._path.startswith(url) and not self._path.startswith(reverse("request_new"))
        else:
            current = self._path == url if url == "/" else self._path.startswith(url)
        return Link(url, icon, label, current, counts, count)


def frame_of(request: HttpRequest) -> Frame:
    """Return the frame of a page. Call this after all changes that the page makes."""
    if FRAME not in request.META:
        request.META[FRAME] = Frame(request, who(request))
    frame: Frame = request.META[FRAME]
    return frame


def shell(request: HttpRequest) -> dict[str, Any]:
    """Return the frame for signed-in people, and the theme of their choice."""
    theme = request.COOKIES.get(THEME_COOKIE, "")
    values: dict[str, Any] = {"theme": theme if theme in ("light", "dark") else ""}
    user = getattr(request, "user", None)
    if isinstance(user, Identity) and not getattr(request, "unproven", None):
        values["frame"] = frame_of(request)
    return values
