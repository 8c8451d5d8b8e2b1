"""What is fuzzed: each takes bytes and fails only if the parser does anything but refuse them by the errors
that it names.
"""

import base64
import contextlib
import datetime as dt
import functools
import hashlib
import io
import json
from collections.abc import Callable, Iterator

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from rest_framework.exceptions import APIException

from broker.audit.offline import Fault, Key, Walk
from sessions_app.api.parsers import StrictJSON
from sessions_app.issuers.tokens import NoToken, read_unproven
from sessions_app.policy.commands.answers import Allowed, CompiledSet
from sessions_app.policy.commands.argv.lines import check_argv, parse_line
from sessions_app.policy.commands.argv.quoting import quote_argv
from sessions_app.policy.commands.argv.templates import parse_template
from sessions_app.policy.commands.document import RuleRefused
from sessions_app.policy.commands.kinds import command_kind, compile_open, decide, describe, lint, parse_text
from sessions_app.policy.commands.kubernetes.lines import parse_line as parse_kubectl
from sessions_app.policy.commands.postgres.lines import parse_line as parse_privileges
from sessions_app.policy.commands.postgres.lines import parse_template as parse_sql_template
from sessions_app.policy.commands.postgres.statement_set import StatementSet
from sessions_app.policy.commands.postgres.statements import Runs, decide_text, prepare
from sessions_app.policy.documents import DocumentError, load_yaml
from sessions_app.workflows.base import DeliveryRefused, hex_digest
from sessions_app.workflows.registry import types

NOW = dt.datetime(2026, 11, 25, 12, tzinfo=dt.UTC)
SECRET = "whsec_" + base64.b64encode(b"0123456789abcdef01234567").decode()
ORIGIN = "stint.example.com/record"
TARGETS: dict[str, Callable[[bytes], None]] = {}


def target(function: Callable[[bytes], None]) -> Callable[[bytes], None]:
    """Register a target by its name."""
    TARGETS[function.__name__] = function
    return function


@functools.cache
def _starters(kind: str) -> list[CompiledSet]:
    return [compile_open(parse_text(one.source)) for one in command_kind(kind).starters]


def _decided(kind: str, line: str) -> None:
    """Decide a line by each of the sets that Stint comes with: no line raises."""
    for compiled in _starters(kind):
        answer = decide(compiled, line)
        assert isinstance(answer, Allowed) or answer.reason


@target
def command_line(data: bytes) -> None:
    """Lines of the SSH gateway. What is read is the same after it was quoted."""
    line = data.decode("utf-8", errors="surrogateescape")
    _decided("ssh", line)
    with contextlib.suppress(RuleRefused):
        words = parse_line(line)
        check_argv(words)
        assert parse_line(quote_argv(words)) == words
    with contextlib.suppress(RuleRefused):
        parse_template(line)


@target
def sql_template(data: bytes) -> None:
    """Privileges of the PostgreSQL connector, in requests and in documents."""
    line = data.decode("utf-8", errors="replace")
    _decided("postgres", line)
    for parse in (parse_privileges, parse_sql_template):
        with contextlib.suppress(RuleRefused):
            parse(line)


@target
def sql_statement(data: bytes) -> None:
    """Statements at the PostgreSQL gateway. What is allowed is allowed again as it is recorded."""
    text = data.decode("utf-8", errors="replace")
    for compiled in (one for one in _starters("postgres") if isinstance(one, StatementSet)):
        prepare(compiled, text)
        for found in decide_text(compiled, text):
            if isinstance(found, Runs):
                assert decide(compiled, found.allowed.line) == found.allowed


@target
def kubectl_line(data: bytes) -> None:
    """Lines of kubectl, in requests and in documents."""
    line = data.decode("utf-8", errors="replace")
    _decided("kubernetes", line)
    for document in (True, False):
        with contextlib.suppress(RuleRefused):
            parse_kubectl(line, document=document)


@target
def http_and_mcp_line(data: bytes) -> None:
    """Requests and calls as the tester takes them."""
    line = data.decode("utf-8", errors="replace")
    for kind in ("http", "mcp"):
        _decided(kind, line)


@target
def yaml_document(data: bytes) -> None:
    """Documents of the catalog. Whatever is valid can be linted, compiled and described."""
    text = data.decode("utf-8", errors="replace")
    with contextlib.suppress(DocumentError):
        load_yaml(text)
        document = parse_text(text)
        lint(document)
        describe(compile_open(document))


@target
def json_body(data: bytes) -> None:
    """Bodies of the API. What is taken can be written and read again."""
    with contextlib.suppress(APIException):
        value = StrictJSON().parse(io.BytesIO(data))
        assert json.loads(json.dumps(value).encode("utf-8")) == value


@target
def webhook(data: bytes) -> None:
    """Deliveries of each provider, with a signature that is right: whoever knows the secret sends
    anything.
    """
    for provider, adapter in _adapters().items():
        headers = dict(_headers(provider, data))
        with contextlib.suppress(DeliveryRefused):
            adapter.verify_webhook(headers, data, [SECRET], NOW)
        with contextlib.suppress(ValueError):
            for hint in adapter.parse(data):
                assert hint.outside_id


@functools.cache
def _adapters() -> dict[str, object]:
    given = {"url": "https://there.example", "token": "t0ken"}
    found = {}
    for name, one in types().items():
        url = given["url"] + ("/api/{id}" if name == "standard" else "")
        found[name] = one.make(one.parameters(**{**given, "url": url}))
    return found


def _headers(provider: str, data: bytes) -> Iterator[tuple[str, str]]:
    """The headers of a delivery, with the body's own first bytes among them."""
    free = data[:40].decode("latin-1")
    if provider == "github":
        yield "x-hub-signature-256", f"sha256={hex_digest(SECRET, data)}"
        yield "x-github-event", free
    elif provider == "gitlab":
        yield "x-gitlab-token", SECRET
        yield "x-gitlab-event", free
    elif provider == "pagerduty":
        yield "x-pagerduty-signature", f"v1={hex_digest(SECRET, data)}"
    yield from (("webhook-id", free), ("webhook-timestamp", free[:11]), ("webhook-signature", free))


@target
def jwt(data: bytes) -> None:
    """Tokens before anything in them is proven: as they come, and with header and claims that are JSON."""
    with contextlib.suppress(NoToken):
        read_unproven(data.decode("utf-8", errors="replace"))
    header, _, claims = data.partition(b"\0")
    parts = (base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in (header, claims, b"signature"))
    with contextlib.suppress(NoToken):
        found = read_unproven(".".join(parts))
        assert isinstance(found.claims, dict)


@functools.cache
def _key() -> Key:
    """A key of nobody's, as an export's verifier is given one."""
    raw = b"\1" + Ed25519PrivateKey.from_private_bytes(b"fuzz" * 8).public_key().public_bytes_raw()
    identity = hashlib.sha256(ORIGIN.encode() + b"\n" + raw).hexdigest()[:8]
    return Key(f"{ORIGIN}+{identity}+{base64.b64encode(raw).decode()}")


@target
def record_export(data: bytes) -> None:
    """Exports, as the verifier outside of Stint reads them."""
    with contextlib.suppress(Fault):
        Walk(io.BytesIO(data), [_key()], {}).run()
