"""The base of all endpoints: authentication, rate limits, input validation, and paging."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar
from urllib.parse import urlencode

from django.db.models import Model, QuerySet
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import Serializer
from rest_framework.views import APIView

from accounts.models import APIToken, Identity, Scope
from broker.kernel.errors import Forbidden
from sessions_app.api.fields import Body, Query
from sessions_app.api.parsers import NeedsLength

_NUMBERS = ("pk", "seq")


class OnlyAdministrators(Forbidden):
    """Only administrators can do this. Ask an administrator."""

    code = "only_administrators"


class Endpoint(APIView):
    """One URL of the API.

    ``scope`` is the scope that a token needs for anything except reading; `administer` if a view sets none.
    ``answers_secret`` means that the response contains a secret that is shown only once, so no copy of the
    response is stored. ``asks_target`` means that the handler calls a target, so it runs outside a
    transaction; its response must contain a secret. ``outlives_token`` means that the view also accepts a
    run's token that has expired, for a grant that was requested with the token and is still active.
    """

    scope: ClassVar[str] = Scope.ADMINISTER
    answers_secret: ClassVar[bool] = False
    asks_target: ClassVar[bool] = False
    outlives_token: ClassVar[bool] = False
    http_method_names: ClassVar[Sequence[str]] = ("get", "head", "post", "delete")  # type: ignore[misc]  # list in DRF
    metadata_class = None

    # Caller

    @property
    def identity(self) -> Identity:
        """The caller."""
        if not isinstance(self.request.user, Identity):
            raise TypeError("permissions should admit only identities")
        return self.request.user

    @property
    def token(self) -> APIToken | None:
        """The token that the caller used; None for a browser session."""
        return self.request.auth if isinstance(self.request.auth, APIToken) else None

    def administrators_only(self) -> None:
        """Raise OnlyAdministrators if the caller is not an administrator."""
        if not self.identity.is_superuser:
            raise OnlyAdministrators("Only administrators can do this.", hint="Ask an administrator.")

    # Before the handler

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        if "Transfer-Encoding" in request.headers and "Content-Length" not in request.headers:
            raise NeedsLength
        super().initial(request, *args, **kwargs)

    def perform_authentication(self, request: Request) -> None:
        try:
            super().perform_authentication(request)
        finally:
            # Requests are counted before the handler runs, so that failed guesses count as well.
            super().check_throttles(request)

    def check_throttles(self, request: Request) -> None:
        """Do nothing, because the request was already counted."""

    # Input

    def body(self, form: type[Body]) -> dict[str, Any]:
        """Return the validated body. Raises ValidationError."""
        return _checked(form, self.request.data)

    def query(self, form: type[Query]) -> dict[str, Any]:
        """Return the validated query. Raises ValidationError, also for repeated and unknown parameters."""
        given = self.request.query_params
        repeated = {
            name: ["Send this parameter only once."] for name in given if len(given.getlist(name)) > 1
        }
        if repeated:
            raise ValidationError(repeated)
        return _checked(form, given.dict())

    # Responses

    def answer(self, shape: type[Serializer[Any]], thing: Any, status: int = 200, **headers: str) -> Response:
        """Return an object in the format of its response shape."""
        rendered = shape(thing, context={"identity": self.identity, "view": self}).data
        return Response(rendered, status=status, headers=headers)

    def page(
        self, rows: QuerySet[Any], shape: type[Serializer[Any]], query: dict[str, Any], *, key: str = "pk"
    ) -> Response:
        """Return one page of rows, continuing where the previous page ended.

        Rows are sorted by number, newest first, or by name. Rows that are added or removed between requests
        don't shift others to another page.
        """
        newest_first = key in _NUMBERS
        if (cursor := query.get("cursor")) is not None:
            rows = rows.filter(**{f"{key}__{'lt' if newest_first else 'gt'}": cursor})
        size: int = query["page_size"]
        found: list[Model] = list(rows.order_by(f"-{key}" if newest_first else key)[: size + 1])
        return self.rows(found[:size], shape, getattr(found[size - 1], key) if len(found) > size else None)

    def rows(self, found: Sequence[Model], shape: type[Serializer[Any]], last: int | str | None) -> Response:
        """Return rows, with the URL of the page after ``last``; None means that there are no more rows."""
        following = None
        if last is not None:
            asked = {**self.request.query_params.dict(), "cursor": str(last)}
            following = f"{self.request.path}?{urlencode(asked)}"
        rendered = shape(found, many=True, context={"identity": self.identity, "view": self}).data
        return Response({"results": rendered, "next": following})

    def finalize_response(self, request: Request, response: Response, *args: Any, **kwargs: Any) -> Response:
        answered: Response = super().finalize_response(request, response, *args, **kwargs)
        answered.headers["Cache-Control"] = "no-store"
        return answered


def _checked(form: type[Body], data: Any) -> dict[str, Any]:
    serializer = form(data=data)
    serializer.is_valid(raise_exception=True)
    return dict(serializer.validated_data)
