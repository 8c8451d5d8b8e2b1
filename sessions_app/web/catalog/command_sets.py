"""Views for command sets."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.db.models import F
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render

from broker.kernel import clock
from broker.kernel.errors import Conflict, StintError
from sessions_app.models import CommandSet, CommandSetVersion
from sessions_app.operations.catalog.publish_command_set import publish_command_set
from sessions_app.operations.catalog.save_draft import CannotBeRead, save_draft
from sessions_app.policy.commands.kinds import starter
from sessions_app.web.catalog import command_set_editor as editor
from sessions_app.web.catalog import command_sets_page as reads
from sessions_app.web.catalog.proposals_page import proposal_for
from sessions_app.web.forms.document_form import form_of, shows_form, with_form
from sessions_app.web.forms.documents import PLACES, Editing, administered, edited_at, list_documents
from sessions_app.web.forms.editor import Typed, sent
from sessions_app.web.forms.removing import Removal, press_remove
from sessions_app.web.forms.request_draft import PARAMETER
from sessions_app.web.forms.saving import SaveResult
from sessions_app.web.layout.views import ACT, FORM, page, who

PROPOSED = (
    "{} may allow more than the published version, so another administrator must publish it."
    " Administrators were notified."
)


@page()
def index(request: HttpRequest) -> HttpResponse:
    """List the command sets that the reader can see."""
    rows = reads.command_sets(who(request))
    return list_documents(request, "command-sets", rows, "catalog/command_sets.html")


@page()
def detail(request: HttpRequest, name: str) -> HttpResponse:
    """Show one version of a command set: the requested version, or otherwise the newest published version."""
    found, version = _version(request, name, request.GET.get("version", ""))
    return _detail(request, found, version, {"parameters": {}})


def _detail(
    request: HttpRequest, found: CommandSet, version: CommandSetVersion, tried: dict[str, Any]
) -> HttpResponse:
    """Render one version. ``tried`` has the values and the result of the "Try a command" form."""
    me = who(request)
    shown = reads.command_set_page(found, version, me)
    context = {
        **tried,
        "shown": shown,
        "parameters": reads.tried_parameters(shown.document, tried["parameters"]),
        "proposed": proposal_for("command-sets", found.name, me, clock.now()),
    }
    return render(request, "catalog/command_set.html", context)


def _version(request: HttpRequest, name: str, number: str) -> tuple[CommandSet, CommandSetVersion]:
    """Return a command set and one of its versions. Drafts are visible only to people who can edit them."""
    me = who(request)
    found = get_object_or_404(CommandSet.objects.live().visible_to(me).distinct(), name=name)
    versions = found.versions.all()
    if not reads.may_write(found, me):
        versions = versions.filter(published_at__isnull=False)
    if number:
        versions = (
            versions.filter(number=int(number)) if number.isdecimal() and len(number) < 9 else versions.none()
        )
    version = versions.order_by(F("published_at").desc(nulls_last=True)).first()
    if version is None:
        raise Http404
    return found, version


@page(ACT)
def try_command(request: HttpRequest, name: str) -> HttpResponse:
    """Show how the gateways would decide on a command line. Nothing runs."""
    found, version = _version(request, name, request.POST.get("version", ""))
    line, values = _tried(request)
    result = reads.try_line(version, line, values) if line.strip() else None
    context: dict[str, Any] = {"result": result, "line": line}
    if getattr(request, "htmx", None):
        return render(request, "catalog/_tried.html", context)
    return _detail(request, found, version, {**context, "parameters": values})


def _tried(request: HttpRequest) -> tuple[str, dict[str, str]]:
    """Return the command line to try, and its parameter values."""
    given = {
        key.removeprefix(PARAMETER): request.POST[key] for key in request.POST if key.startswith(PARAMETER)
    }
    return request.POST.get("line", ""), given


@page(FORM)
def new(request: HttpRequest) -> HttpResponse:
    """Create a command set from a template."""
    if not who(request).is_superuser:
        raise Http404
    return _editor(request, None)


@page(FORM)
def edit(request: HttpRequest, name: str) -> HttpResponse:
    """Edit a draft: check, try and save it."""
    return _editor(request, administered(request, CommandSet.objects.live(), name))


def _editor(
    request: HttpRequest, command_set: CommandSet | None, error: StintError | None = None
) -> HttpResponse:
    draft = command_set.versions.filter(published_at__isnull=True).first() if command_set else None
    before = reads.newest_published(command_set) if command_set else None
    source = sent(request.POST) if "source" in request.POST else _begin(request, draft or before)
    schema = editor.schema_of(source)
    source = with_form(source, schema, request.POST)
    line, values = _tried(request)
    act = request.POST.get("act", "")
    based_on = request.POST.get("based_on", str(draft.pk if draft else 0))
    if act == "save":
        try:
            saved = _save(request, source, command_set, based_on)
        except StintError as refused:
            error = refused
        else:
            messages.success(
                request, f"Draft of {saved.command_set} saved. It can't be requested until it is published."
            )
            return redirect("command_set_edit", saved.command_set.name)
    tried = reads.try_text(source, line, values) if line.strip() else None
    if act == "try" and getattr(request, "htmx", None):
        return render(request, "catalog/_tried.html", {"result": tried})
    checked = editor.check_source(source, before)
    typed = Typed(source, error.problems if isinstance(error, CannotBeRead) else checked.problems)
    name, place = command_set.name if command_set else "", PLACES["command-sets"]
    is_saved = bool(draft and draft.source == source)
    context = {
        "edit": Editing(
            place, name, typed, SaveResult(error=error), based_on, edited_at(request, place, name)
        ),
        "command_set": command_set,
        "draft": draft,
        "typed": typed,
        "checked": checked,
        "error": error,
        "save_first": not is_saved,
        "result": tried,
        "line": line,
        "parameters": reads.tried_parameters(checked.document, values),
        "publishing": (
            editor.publishing(
                command_set,
                draft=draft,
                before=before,
                saved=is_saved,
                checked=checked,
                typed=request.POST,
                writer=who(request),
            )
            if command_set
            else None
        ),
        "form": form_of(source, schema, typed.problems) if schema and shows_form(request.POST) else None,
        "templates": [] if command_set else editor.templates(request.GET.get("start", "")),
    }
    if getattr(request, "htmx", None):
        return render(request, "ui/_checked.html", {**context, "swap": True})
    return render(request, "catalog/command_set_edit.html", context, status=error.status if error else 200)


def _save(
    request: HttpRequest, source: str, command_set: CommandSet | None, based_on: str
) -> CommandSetVersion:
    return save_draft(
        source=source,
        actor=who(request),
        now=clock.now(),
        name=command_set.name if command_set else None,
        based_on=int(based_on) if based_on.isdecimal() and len(based_on) < 19 else None,
    )


def _begin(request: HttpRequest, version: CommandSetVersion | None) -> str:
    """Return the editor's initial text: the draft, or else the published version, or else a template."""
    return version.source if version else starter(request.GET.get("start", "")).source


@page(ACT)
def publish(request: HttpRequest, name: str) -> HttpResponse:
    """Publish the draft that the page showed, with the reasons for accepting its warnings."""
    found = administered(request, CommandSet.objects.live(), name)
    shown = request.POST.get("version", "")
    version = found.versions.filter(pk=int(shown) if shown.isdecimal() and len(shown) < 19 else 0).first()
    if version is None:
        raise Conflict(
            "The draft was replaced since you opened it. Nothing was published.", hint="Review the new draft."
        )
    accepted = {
        key.removeprefix(editor.ACCEPT): request.POST[key].strip()
        for key in request.POST
        if key.startswith(editor.ACCEPT) and request.POST[key].strip()
    }
    try:
        published = publish_command_set(
            version_id=version.pk, actor=who(request), accepted=accepted, now=clock.now()
        )
    except StintError as error:
        return _editor(request, found, error)
    if published.published_at is None:
        messages.success(request, PROPOSED.format(published))
    else:
        messages.success(request, f"{published} is published. New requests use it.")
    return redirect("command_set", name)


@page(ACT)
def remove(request: HttpRequest, name: str) -> HttpResponse:
    """Show which grants end if a command set is removed. With ``confirm``, remove the command set."""
    policies = editor.use_of(administered(request, CommandSet.objects.live(), name)).policies
    removal = Removal("command-sets", "Access granted with the command set ends.")
    return press_remove(request, removal, name, policies=policies)
