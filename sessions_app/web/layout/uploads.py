"""Receives the files that forms send. They are encrypted before they are written to disk.

Only the form that uploads a file of a grant takes files. Those of other forms are discarded while they
arrive.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.files.uploadedfile import UploadedFile
from django.core.files.uploadhandler import FileUploadHandler, SkipFile
from django.http import HttpRequest

from broker.kernel.errors import StintError
from broker.kernel.spooled import Spooled

# The name of the page whose form takes a file, and the beginning of that field's name.
TAKES, FIELD = "grant_upload", "file."
# The bytes of a request besides its file.
_OVERHEAD = 64 * 1024
# The request's attribute with the error, or with the size of a file that is too large.
_FAULT, _SIZE = "stint.upload_fault", "stint.upload_size"


class SealedFile(UploadedFile):  # type: ignore[type-arg]  # generic only in its stubs
    """A received file, which is deleted when its request ends."""

    def __init__(self, spooled: Spooled) -> None:
        super().__init__(file=None, name="file", size=spooled.size)
        self._spooled = spooled
        self.sha256 = spooled.sha256

    def pieces(self) -> Iterator[bytes]:
        """Yield the content. Raises OSError."""
        return self._spooled.pieces()

    def close(self) -> None:
        """Delete the file."""
        self._spooled.close()


class SealedUploads(FileUploadHandler):
    """Takes one file of a request, up to the largest that a page can transfer."""

    def __init__(self, request: HttpRequest | None = None) -> None:
        super().__init__(request)
        self._spooled: Spooled | None = None
        self._taken = False

    def handle_raw_input(self, input_data: Any, META: Any, content_length: int, *rest: Any) -> None:  # noqa: N803  # Django's
        del input_data, META, rest
        if self._is_asked() and content_length > settings.PAGE_FILE_BYTES + _OVERHEAD:
            self._note(_SIZE, content_length)

    def new_file(self, field_name: str, *given: Any, **more: Any) -> None:
        super().new_file(field_name, *given, **more)
        if self._taken or not self._is_asked() or not field_name.startswith(FIELD) or self._said(_SIZE):
            raise SkipFile
        self._taken = True
        try:
            self._spooled = Spooled(Path(tempfile.gettempdir()))
        except OSError as error:
            self._fail(_unkept(error))

    def receive_data_chunk(self, raw_data: bytes, start: int) -> None:
        if self._spooled is None:
            raise SkipFile
        if start + len(raw_data) > settings.PAGE_FILE_BYTES:
            self._note(_SIZE, start + len(raw_data))
            self._drop()
            raise SkipFile
        try:
            self._spooled.write(raw_data)
        except StintError as error:
            self._fail(error)
        except OSError as error:
            self._fail(_unkept(error))

    def file_complete(self, file_size: int) -> SealedFile | None:
        del file_size
        spooled, self._spooled = self._spooled, None
        return SealedFile(spooled) if spooled is not None else None

    def upload_interrupted(self) -> None:
        self._drop()

    def _is_asked(self) -> bool:
        request = self.request
        match = request.resolver_match if request is not None else None
        user = getattr(request, "user", None)
        return match is not None and match.url_name == TAKES and user is not None and user.is_authenticated

    def _fail(self, error: StintError) -> None:
        self._note(_FAULT, error)
        self._drop()
        raise SkipFile

    def _drop(self) -> None:
        if self._spooled is not None:
            self._spooled.close()
            self._spooled = None

    def _note(self, name: str, value: object) -> None:
        if self.request is not None:
            self.request.META[name] = value

    def _said(self, name: str) -> object:
        return self.request.META.get(name) if self.request is not None else None


class CannotKeepFile(StintError):
    """The web process could not keep the file. Nothing was transferred. Try again in a moment."""

    code = "cannot_keep_file"
    status = 503


def _unkept(error: OSError) -> CannotKeepFile:
    return CannotKeepFile(f"The file could not be kept: {error.strerror}.", hint="Try again in a moment.")


def sent_file(request: HttpRequest) -> SealedFile | None:
    """Return the file that a request sent; None if there is none. Raises StintError if it could not be
    kept.
    """
    fault = request.META.get(_FAULT)
    if isinstance(fault, StintError):
        raise fault
    found = next((file for files in request.FILES.lists() for file in files[1]), None)
    return found if isinstance(found, SealedFile) else None


def size_of_refused(request: HttpRequest) -> int:
    """Return the approximate size of a file that was too large to be received; 0 if there was none."""
    found = request.META.get(_SIZE)
    return found if isinstance(found, int) else 0
