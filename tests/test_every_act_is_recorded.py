"""Every operation, URL, tool and command of Stint writes to the record, or is listed here with the reason why
it need not.

What each can reach is derived from the source (``support/reach.py``), so that new code is checked too.
"""

import ast
import functools
import importlib
import inspect
from collections.abc import Iterator

import pytest
from django.urls import URLPattern, get_resolver

from sessions_app.gateways.mcp.own_tools import TOOLS
from tests.support.reach import ROOMS, ROOT, Place, Source

METHODS = ("get", "post", "put", "patch", "delete")
SOURCE = Source()

# Read-only. Viewing permitted data is not recorded; views that are recorded are not listed here.
READS = {
    "pages and lists of what the reader may see": (
        """
        /search/palette/ /completions/<slug:kind>/
        /grants/<gr:ref>/runs/<int:run>/watch/
        / /more/ /search/ /notices/ /requests/ /requests/<req:ref>/ /workflows/<workflow:ref>/
        /workflows/<workflow:ref>/live/
        /incidents/<inc:ref>/ /incidents/<inc:ref>/live/ /approvals/ /approvals/<req:ref>/ /grants/
        /grants/<gr:ref>/files/<int:order>/
        /grants/<gr:ref>/receipt.json /recordings/ /clusters/ /clusters/<slug:name>/
        /insight/
        /clusters/<slug:name>/checks/ /command-sets/ /command-sets/<slug:name>/ /policies/
        /policies/<slug:name>/ /webhooks/
        /webhooks/<slug:name>/ /sources/ /sources/<slug:name>/ /trust-policies/ /account/ /account/factors/
        /people/
        /people/<username:username>/ /who-can/ /timeline/ /record/ /status/ /history/<slug:type_>/<str:name>/
        /permissions/
        GET:/api/v1/history/<api_name:kind>/<api_user:name> GET:/api/v1/permissions
        GET:/api/v1/history/<api_name:kind>/<api_user:name>/difference
        GET:/api/v1/me GET:/api/v1/me/ssh-keys GET:/api/v1/me/tokens GET:/api/v1/me/notices
        GET:/api/v1/clusters
        GET:/api/v1/clusters/<api_name:name> GET:/api/v1/command-sets GET:/api/v1/command-sets/<api_name:name>
        GET:/api/v1/command-sets/<api_name:name>/versions/<api_id:number> GET:/api/v1/policies
        GET:/api/v1/policies/<api_name:name> GET:/api/v1/proposals GET:/api/v1/proposals/<api_id:proposal_id>
        GET:/api/v1/requests GET:/api/v1/requests/<api_request:ref> GET:/api/v1/grants
        GET:/api/v1/grants/<api_grant:ref> GET:/api/v1/grants/<api_grant:ref>/receipt
        GET:/api/v1/grants/<api_grant:ref>/runs GET:/api/v1/grants/<api_grant:ref>/sessions
        GET:/api/v1/workflows
        GET:/api/v1/workflows/<api_workflow:ref> GET:/api/v1/webhooks GET:/api/v1/webhooks/<api_name:name>
        GET:/api/v1/webhooks/<api_name:name>/messages GET:/api/v1/runs GET:/api/v1/holds
        GET:/api/v1/runs/<api_id:run_id>/earlier GET:/api/v1/identities
        GET:/api/v1/identities/<api_user:username> GET:/api/v1/identities/<api_user:username>/ssh-keys
        GET:/api/v1/identities/<api_user:username>/tokens GET:/api/v1/record GET:/api/v1/search
        tool:my_grants tool:request_status"""
    ),
    "the hold's entry has a digest of what its approvers see": (
        "GET:/api/v1/runs/<api_id:run_id>/commit GET:/api/v1/runs/<api_id:run_id>/file"
    ),
    "says what would be, and does nothing of it": (
        """
        /requests/preview/ /command-sets/<slug:name>/try/ /policies/<slug:name>/simulate/ tool:what_may_i_do
        sessions_app.operations.requests.check_request.check_request
        sessions_app.operations.identities.prove_token.prove_token"""
    ),
    "the same for everybody, and nobody's secret": (
        """
        /streams/terminal
        /docs/ /docs/<slug:name>/ /docs/reference/<slug:name>/ /api/schema/ /api/docs/ /schemas/
        /schemas/<str:folder>.json /pulse/
        /streams/changes /.well-known/oauth-authorization-server/oauth GET:/api/v1/ssh-gateway
        GET:/api/v1/web-gateway"""
    ),
    "tells whoever has a token what that is good for; the use of it is recorded": "/oauth/introspect",
    "a challenge, kept in the browser's own session; what is answered to it is recorded": (
        """
        /sign-in/provider/ /account/confirm/provider/ /sign-in/passkey/ask/
        sessions_app.operations.identities.begin_provider_sign_in.begin_provider_sign_in"""
    ),
    "part of verbs that are recorded": (
        """
        sessions_app.operations.grants.lock_descendants.lock_descendants
        sessions_app.operations.grants.lock_to_end.lock_to_end
        accounts.operations.lock_person.lock_person
        sessions_app.operations.requests.limit_requests.limit_requests
        sessions_app.operations.sessions.return_charges.return_charges
        sessions_app.operations.sessions.limit_holds.limit_holds"""
    ),
    "starts other processes, each of which records its acts": "manage.py:up manage.py:demo manage.py:serve",
    "writes files of a machine that has no record yet": "manage.py:production",
    "a client of the API, at which the credential is recorded": "manage.py:kube_credential",
}
# Writes that neither give nor remove access.
NO_ACTS = {
    "takes a use of an approval that is recorded, for a run that its caller records": (
        "sessions_app.operations.sessions.take_use.take_use"
    ),
    "digests of what a call returned, whose end has an entry; they only limit later calls": (
        "sessions_app.operations.sessions.keep_results.keep_results"
    ),
    "asked at each use, which is recorded; that the database was compared is recorded once": (
        """
        sessions_app.operations.sessions.authorize_use.authorize_use
        sessions_app.operations.sessions.open_session.lock_live
        sessions_app.operations.sessions.order_command.use_on_page
        sessions_app.operations.sessions.proofs.page.uses_from_page"""
    ),
    "one's own notices, searches and their marks, which nobody else sees": (
        """
        /notices/read/ /notices/<int:notice>/read/ POST:/api/v1/me/notices/<api_id:notice_id>/read
        /requests/saved/<int:bookmark>/delete/ /record/questions/ /record/questions/<int:bookmark>/delete/
        sessions_app.operations.notifications.read_notice.read_notice
        sessions_app.operations.notifications.read_all_notices.read_all_notices
        sessions_app.operations.requests.save_bookmark.save_bookmark
        sessions_app.operations.requests.delete_bookmark.delete_bookmark"""
    ),
    "the answer is kept for whoever sends the same again; nothing else is written": (
        """
        POST:/api/v1/command-sets/<api_name:name>/try POST:/api/v1/requests/offers"""
    ),
    "each few seconds, for as long as its holder is there; the end when they come no more is recorded": (
        """
        POST:/api/v1/grants/<api_grant:ref>/heartbeat sessions_app.operations.grants.heartbeat.heartbeat
        sessions_app.operations.sessions.renew_gateway.renew_gateway
        sessions_app.operations.sessions.keep_watch.keep_watch"""
    ),
    "a program shows a code, which opens nothing; that somebody allows it is recorded": (
        """
        /oauth/device_authorization accounts.operations.start_device.start_device"""
    ),
    "tells people, or queues what tells them, of what has an entry": (
        """
        sessions_app.operations.notifications.notify.notify
        sessions_app.operations.notifications.notify_of_end.notify_of_end
        sessions_app.operations.notifications.notify_of_hold.notify_of_hold
        sessions_app.operations.notifications.notify_of_hold.notify_people_of_hold
        sessions_app.operations.notifications.notify_of_start.notify_of_start
        sessions_app.operations.notifications.warn_holders.warn_holders
        sessions_app.operations.notifications.await_answer.await_answer
        sessions_app.operations.notifications.notify_approvers.notify_approvers
        sessions_app.operations.notifications.combine_webhooks.combine_webhooks
        sessions_app.operations.notifications.gather_webhooks.gather_webhooks
        sessions_app.operations.notifications.gather_webhooks.queue"""
    ),
    "once used, it is good no second time; its use is recorded": (
        "sessions_app.operations.grants.use_proof.use_proof"
    ),
    "when a key was last used; the session that it opened is recorded": (
        "accounts.operations.note_key_use.note_key_use"
    ),
    "a gateway takes what was ordered with an entry, and what becomes of it has one": (
        """
        sessions_app.operations.sessions.claim_order.claim_order
        sessions_app.operations.sessions.keep_piece.keep_piece
        sessions_app.operations.sessions.drop_file.drop_file"""
    ),
    "counts a guess at a code; what is decided about the program has an entry": (
        """
        accounts.operations.find_device.find_device"""
    ),
    "counts what grants that are over say": (
        """
        sessions_app.operations.sweep.count_ends.count_ends
        sessions_app.operations.sweep.count_settled_days.count_settled_days"""
    ),
    "throws away what is over": (
        """
        accounts.operations.purge_sign_ins.purge_sign_ins
        sessions_app.operations.sessions.purge_files.purge_files
        sessions_app.operations.notifications.purge_webhooks.purge_webhooks
        sessions_app.operations.notifications.purge_notices.purge_notices"""
    ),
    "part of verbs that are recorded": (
        """
        sessions_app.operations.identities.change_factors.first_codes
        sessions_app.operations.identities.change_factors.end_sign_ins
        sessions_app.operations.grants.cut_unfinished.cut_unfinished
        sessions_app.operations.targets.compare_targets.note_unseen
        sessions_app.operations.catalog.save_draft.write_draft
        sessions_app.operations.catalog.keep_versions.keep_versions
        sessions_app.operations.notifications.webhook_endpoint.set_owners
        sessions_app.operations.catalog.give_permission.give_permission"""
    ),
}
# Views of third-party classes, and where Stint records them; None: the view shows a form or an error.
BY_OTHERS: dict[str, Place | None] = {
    "GET:/sign-in/": None,
    "PUT:/sign-in/": ("accounts.operations.note_sign_in", "note_sign_in"),
    "POST:/sign-in/": ("accounts.operations.note_sign_in", "note_sign_in"),
    "GET:/sign-in/disabled/": None,
    "GET:/sign-out/": None,
    "POST:/sign-out/": ("accounts.operations.note_sign_in", "note_sign_out"),
    "manage.py:migrate": None,
}


def declared(lists: dict[str, str]) -> dict[str, str]:
    """Return each name with its reason."""
    return {name: why for why, names in lists.items() for name in names.split()}


def operations() -> Iterator[tuple[str, Place]]:
    """Return the verb of each file, and its other public functions that write."""
    for path in sorted(path for room in ROOMS for path in (ROOT / room).glob("operations/**/[!_]*.py")):
        module = SOURCE.modules[".".join(path.relative_to(ROOT).with_suffix("").parts)]
        for name, node in module.functions.items():
            place = (module.name, name)
            public = isinstance(node, ast.FunctionDef) and not name.startswith("_") and "." not in name
            if public and (name == path.stem or SOURCE.writes(place)):
                yield f"{module.name}.{name}", place


def addresses(patterns: object = None, before: str = "/") -> Iterator[tuple[str, Place]]:
    """Return the view of each URL of pages, API, OAuth and hooks; for classes, each method."""
    for pattern in get_resolver().url_patterns if patterns is None else patterns:  # type: ignore[attr-defined]
        path = before + str(pattern.pattern)
        if not isinstance(pattern, URLPattern):
            yield from addresses(pattern.url_patterns, path)
            continue
        class_ = getattr(pattern.callback, "cls", None) or getattr(pattern.callback, "view_class", None)
        if class_ is None:
            yield path, place_of(pattern.callback)
        else:
            yield from (
                (f"{method.upper()}:{path}", place_of(getattr(class_, method)))
                for method in METHODS
                if hasattr(class_, method)
            )


def tools() -> Iterator[tuple[str, Place]]:
    """The tools of Stint's own MCP server."""
    yield from ((f"tool:{name}", place_of(tool.does)) for name, tool in TOOLS.items())


def commands() -> Iterator[tuple[str, Place]]:
    """The management commands."""
    for path in sorted(
        path for room in ROOMS for path in (ROOT / room).rglob("management/commands/[!_]*.py")
    ):
        module = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        yield f"manage.py:{path.stem}", place_of(importlib.import_module(module).Command.handle)


def place_of(does: object) -> Place:
    """Return where a function is defined, without its decorators."""
    plain = inspect.unwrap(does)  # type: ignore[arg-type]  # a view or a method
    return plain.__module__, plain.__qualname__


def is_ours(place: Place) -> bool:
    """Whether Stint's source has the function."""
    return place[0] in SOURCE.modules and place[1] in SOURCE.modules[place[0]].functions


@functools.cache
def everything() -> dict[str, Place]:
    """All of them by name."""
    return {name: place for kind in (operations, addresses, tools, commands) for name, place in kind()}


def test_the_walk_finds_every_kind_of_entry_point():
    kinds = [name.partition(":")[0] for name in everything()]
    assert kinds.count("tool") >= 5
    assert kinds.count("manage.py") >= 15
    for name in ("/oauth/token", "/hooks/<slug:source>/", "POST:/api/v1/requests", "/grants/<gr:ref>/end/"):
        assert SOURCE.records(everything()[name]), name
    assert len(everything()) > 300


def test_what_changes_or_reveals_something_comes_to_the_record():
    excused = {**declared(READS), **declared(NO_ACTS), **BY_OTHERS}
    silent = [
        name
        for name, place in everything().items()
        if name not in excused and not (is_ours(place) and SOURCE.records(place))
    ]
    assert not silent, f"let each write an entry, or say in this file why it need not: {silent}"


@pytest.mark.parametrize("lists", [READS, NO_ACTS], ids=["reads", "no acts"])
def test_no_reason_is_given_for_what_is_recorded_or_not_there(lists):
    stale = [
        name for name in declared(lists) if name not in everything() or SOURCE.records(everything()[name])
    ]
    assert not stale, f"take out of this file: {stale}"


def test_what_is_said_to_read_writes_nothing_and_what_is_said_to_write_does():
    assert [name for name in declared(READS) if SOURCE.writes(everything()[name])] == []
    assert [name for name in declared(NO_ACTS) if not SOURCE.writes(everything()[name])] == []


def test_what_others_code_answers_is_recorded_where_this_file_says():
    foreign = {name for name, place in everything().items() if not is_ours(place)}
    assert foreign == set(BY_OTHERS)
    for place in filter(None, BY_OTHERS.values()):
        assert SOURCE.records(place)


def test_the_walk_sees_a_entry_point_that_would_write_and_record_nothing():
    """Checks the walk itself: it must read the source correctly."""
    assert SOURCE.writes(("sessions_app.operations.notifications.read_notice", "read_notice"))
    assert not SOURCE.records(("sessions_app.operations.notifications.read_notice", "read_notice"))
    assert SOURCE.records(("sessions_app.management.commands.ssh_check", "Command.handle"))
    assert not SOURCE.writes(("sessions_app.operations.requests.check_request", "check_request"))
