"""Binary values are read as PostgreSQL prints them."""

import datetime as dt

import psycopg
import pytest
from django.db import connection

from sessions_app.gateways.postgres.binary import NotDecoded, decode

VALUES = """
true bool; false bool; 0 int2; -32768 int2; 2147483647 int4; -1 int4; 9223372036854775807 int8; 7 oid
plain text; '' text; Zoë varchar; x bpchar; a-name name; {"a": [1]} json; {"b": 2} jsonb; \\xdeadbeef bytea
1.5 float8; 0 float8; -0 float8; 100 float8; 1e15 float8; 123456789012345 float8; 1e-4 float8; 1.25e-5 float8
-2.5e300 float8; NaN float8; -Infinity float8; 0.1 float8; 1e22 float8
0 numeric; 1 numeric; -12345.6700 numeric; 0.0001 numeric; 10000 numeric; 1e20 numeric; NaN numeric
123456789.123456789 numeric; 0.00 numeric; 9999.99 numeric
2026-11-30 date; 1999-12-31 date; 2026-11-30T12:30:00 timestamp; 1999-01-01T00:00:00.25 timestamp
2026-11-30T12:30:00+02 timestamptz; 8f14e45f-ceea-467f-a0e6-5d1f7f7f0a4b uuid
"""
CASES = [tuple(one.strip().rsplit(" ", 1)) for line in VALUES.strip().splitlines() for one in line.split(";")]


@pytest.mark.parametrize(("value", "type_"), CASES)
def test_a_binary_value_is_what_the_server_prints(db, value, type_):
    connection.ensure_connection()
    raw = value.replace("''", "")
    with connection.cursor() as plain:
        plain.execute(
            "SET LOCAL timezone = 'UTC'; SET LOCAL datestyle = 'ISO'; SET LOCAL extra_float_digits = 1"
        )
    found = connection.connection.pgconn.exec_params(
        f"SELECT $1::text::{type_}".encode(), [raw.encode()], result_format=1
    )
    printed = connection.connection.pgconn.exec_params(
        f"SELECT ($1::text::{type_})::text".encode(), [raw.encode()]
    )
    wanted = printed.get_value(0, 0).decode()
    # The cast to text prints `true`, and the parameter of a boolean is `t`.
    wanted = {"true": "t", "false": "f"}.get(wanted, wanted) if type_ == "bool" else wanted
    assert decode(found.ftype(0), found.get_value(0, 0)) == wanted


@pytest.mark.parametrize(
    ("oid", "data"),
    [
        (16, b"\2"),
        (16, b""),
        (23, b"\0\0\1"),
        (20, b"\0\0\0\1"),
        (25, b"\xff"),
        (25, b"a\0b"),
        (701, b"\0"),
        (1082, b"\x7f\xff\xff\xff"),
        (1114, b"\x7f" + b"\xff" * 7),
        (1700, b"\0\1\0\0\0\0\0\0"),
        (1700, b"\0\1\x7f\xff\0\0\0\0\0\1"),
        (1700, b"\0\1\0\0\x12\x34\0\0\0\1"),
        (1700, b"\0\1\0\0\0\0\0\0\x27\x10"),
        (2950, b"\0"),
        (3802, b"\2{}"),
        (600, b"\0" * 16),
        (0, b"x"),
    ],
)
def test_what_is_not_valid_for_its_type_and_what_has_an_unknown_type_is_refused(oid, data):
    with pytest.raises(NotDecoded):
        decode(oid, data)


def test_what_psycopg_sends_in_binary_is_read_back():
    made = psycopg.adapt.Transformer()
    for value, wanted in ((7, "7"), (True, "t"), ("x", "x"), (dt.date(2026, 11, 30), "2026-11-30")):
        dumper = made.get_dumper(value, psycopg.adapt.PyFormat.BINARY)
        assert decode(dumper.oid or 25, bytes(dumper.dump(value) or b"")) == wanted
