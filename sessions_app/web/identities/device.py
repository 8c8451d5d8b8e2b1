"""The page on which a person enters a program's code and authorizes the program to act as them."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from accounts.addresses import address_of
from accounts.clients import client_of
from accounts.codes import typed_code
from accounts.models import DeviceAuthorization
from accounts.operations.decide_device import decide_device
from accounts.operations.find_device import find_device
from broker.kernel import clock
from broker.kernel.errors import StintError
from sessions_app.web.identities.proving import recently
from sessions_app.web.layout.views import FORM, page, who

ANSWERS = {"allow": True, "deny": False}


@page(FORM)
@recently
def device(request: HttpRequest) -> HttpResponse:
    """Show what a program requests, and authorize or deny it by its code. A code in the address only fills in
    the field.
    """
    code = (request.POST or request.GET).get("user_code", "")
    if request.method != "POST":
        return render(request, "identities/device.html", {"code": typed_code(code)})
    answer = ANSWERS.get(request.POST.get("answer", ""))
    try:
        found = _act(request, code, answer=answer)
    except StintError as error:
        return render(request, "identities/device.html", {"code": code, "error": error}, status=error.status)
    here = address_of(request)
    context = {
        "device": found,
        "elsewhere": found.address != here,
        "client": client_of(found.client_id),
        "code": typed_code(code),
        "allowed": answer is True,
        "denied": answer is False,
        "here": here,
    }
    return render(request, "identities/device.html", context)


def _act(request: HttpRequest, code: str, *, answer: bool | None) -> DeviceAuthorization:
    asked: dict[str, Any] = {
        "user_code": code,
        "identity": who(request),
        "address": address_of(request),
        "now": clock.now(),
    }
    return find_device(**asked) if answer is None else decide_device(**asked, allow=answer)
