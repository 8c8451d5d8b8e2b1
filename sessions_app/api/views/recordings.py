"""Command output: the recording as a file, and the output as text. Each read is recorded."""

from __future__ import annotations

import io

from django.http import FileResponse
from rest_framework.request import Request
from rest_framework.response import Response

from broker.kernel import clock
from broker.kernel.errors import NotFound
from sessions_app.api.endpoint import Endpoint
from sessions_app.api.filters import OfOutput
from sessions_app.api.schema import described, described_file
from sessions_app.api.shapes.grants import OutputShape
from sessions_app.operations.sessions.watch_recording import watch_recording
from sessions_app.queries.record.recording_content import output_from, readable, said_unavailable

ASCIICAST = "application/x-asciicast"


class _Watched(Endpoint):
    def file(self, run_id: int) -> tuple[str, io.BufferedReader]:
        """Return the name and content of a recording that the caller can read, and record the access.

        Raises NotFound or Unavailable.
        """
        run = watch_recording(run_id=run_id, actor=self.identity, now=clock.now())
        file = readable(run)
        if file is None:
            gone = (
                f"The recording was purged on {run.recording_purged_at:%Y-%m-%d}."
                if run.recording_purged_at
                else "The recording's file is not on this server."
            )
            raise NotFound("Recording not found.", hint=f"{gone} Its digest is in the record.")
        return f"{run.grant.ref}-{run.pk}.cast", file


class RunRecording(_Watched):
    """The recording of a run."""

    @described_file(ASCIICAST)
    def get(self, request: Request, run_id: int) -> FileResponse:
        """Get the recording of a run as an asciicast v2 file. `recording_sha256` of the run is its digest."""
        name, file = self.file(run_id)
        return FileResponse(file, content_type=ASCIICAST, filename=name, as_attachment=True)


class RunOutput(_Watched):
    """The output of a run."""

    @described(OutputShape, query=OfOutput)
    def get(self, request: Request, run_id: int) -> Response:
        """Get the raw output of a run. Remove control sequences before you print the output to a terminal."""
        query = self.query(OfOutput)
        _, file = self.file(run_id)
        with file, said_unavailable():
            text, following = output_from(file, query["cursor"])
        more = None if following is None else f"{request.path}?cursor={following}"
        return Response({"text": text, "next": more})
