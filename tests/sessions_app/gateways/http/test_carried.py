"""Request bodies on their way to the target."""

import asyncio
import hashlib

import pytest

from sessions_app.gateways.core.heads import Framing
from sessions_app.gateways.http.carried import Kept, Multipart, kept_of
from sessions_app.gateways.http.multipart import IN_MEMORY, MOST_FIELD, Parts
from sessions_app.policy.commands.http.carried import MAX_FIELDS, Plan
from sessions_app.policy.commands.json_values.bodies import BodyRefused


def test_the_digest_of_a_form_is_that_of_what_was_sent_last():
    parts = Parts("bound")
    parts.feed(b'--bound\r\nContent-Disposition: form-data; name="text"\r\n\r\nhello\r\n--bound--\r\n')
    body = Multipart(parts)

    async def send(most: int) -> bytes:
        sent = b""
        async for piece in body.data():
            sent += piece
            most -= 1
            if not most:
                break
        return sent

    for most in (9, 1, 9):
        sent = asyncio.run(send(most))
        assert (body.sent, body.digest) == (len(sent), hashlib.sha256(sent).hexdigest())


def part(name: str, content: bytes, file: str = "") -> bytes:
    named = f'name="{name}"' + (f'; filename="{file}"' if file else "")
    return f"--bound\r\nContent-Disposition: form-data; {named}\r\n\r\n".encode() + content + b"\r\n"


def test_files_of_a_form_come_back_whole_on_disk_and_in_memory_and_may_be_empty():
    files = {"small": b"a" * 10, "large": b"b" * (IN_MEMORY + 1), "empty": b"", "last": b"c\r\n--bound-"}
    parts = Parts("bound")
    for name, content in files.items():
        parts.feed(part(f"{name}-note", name.encode()) + part(name, content, f"{name}.bin"))
    parts.feed(b"--bound--\r\n")
    read = parts.files()
    for _ in range(2):
        assert {name: b"".join(read(name)) for name in files} == files
    assert parts.form().fields == {f"{name}-note": name for name in files}


def test_the_fields_of_a_form_are_bounded_together():
    parts = Parts("bound")
    for number in range(MAX_FIELDS // MOST_FIELD):
        parts.feed(part(f"field-{number}", b"a" * MOST_FIELD))
    with pytest.raises(BodyRefused, match="the fields of the form are too long"):
        parts.feed(part("one-more", b"a"))


@pytest.mark.parametrize(
    ("plan", "length", "kept"),
    [
        (Plan("none"), 5, Kept(0)),
        (Plan("json", 100), 5, Kept(5)),
        (Plan("json", 100), None, Kept(100)),
        (Plan("json", 100), 101, Kept(100)),
        (Plan("upload", 10**10), 10**9, Kept(0)),
        (Plan("upload", 10**7, whole=True), 10**6, Kept(10**6)),
        (Plan("multipart", 10**8, whole=True), None, Kept(MAX_FIELDS + IN_MEMORY, 10**8)),
        (Plan("multipart", 10**8, whole=True), 1000, Kept(1000, 1000)),
    ],
)
def test_a_body_keeps_what_is_read_of_it_before_it_is_decided(plan, length, kept):
    assert kept_of(Framing(length, waits=False), plan) == kept
