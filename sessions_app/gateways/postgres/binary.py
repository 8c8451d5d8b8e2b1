"""Values in PostgreSQL's binary format, as PostgreSQL prints them. Types that are not listed are refused.

Source: PostgreSQL's `send` functions, and `pg_type.dat` for the OIDs.
"""

from __future__ import annotations

import datetime as dt
import struct
import uuid
from collections.abc import Callable
from decimal import Decimal

_EPOCH = dt.datetime(2000, 1, 1)  # noqa: DTZ001  # a timestamp without time zone
_JSONB_VERSION = b"\x01"
# Decimal places from which PostgreSQL prints a float with an exponent.
_LEAST, _GREATEST = -4, 15
_NUMERIC_SIGNS, _NUMERIC_NAN = {0x0000: 0, 0x4000: 1}, 0xC000
# Numerics have digits in base 10,000. Numerics with more digits than this are refused.
_BASE_DIGITS, _GREATEST_DIGIT, _MOST_DIGITS = 4, 9999, 200


class NotDecoded(ValueError):
    """The value is not valid for its type, or its type can only be sent as text."""


def decode(oid: int, data: bytes) -> str:
    """Return a binary value of a type as text. Raises NotDecoded."""
    decoder = _DECODERS.get(oid)
    if decoder is None:
        raise NotDecoded(f"values of the type with OID {oid} must be sent as text")
    try:
        return decoder(data)
    except (struct.error, ValueError, OverflowError, KeyError, IndexError) as error:
        raise NotDecoded(f"a binary value is not valid for the type with OID {oid}") from error


def _integer(size: int, *, signed: bool = True) -> Callable[[bytes], str]:
    def read(data: bytes) -> str:
        if len(data) != size:
            raise ValueError
        return str(int.from_bytes(data, "big", signed=signed))

    return read


def _bool(data: bytes) -> str:
    return {b"\0": "f", b"\1": "t"}[data]


def _text(data: bytes) -> str:
    if b"\0" in data:
        raise ValueError
    return data.decode()


def _jsonb(data: bytes) -> str:
    if data[:1] != _JSONB_VERSION:
        raise ValueError
    return _text(data[1:])


def _bytea(data: bytes) -> str:
    return f"\\x{data.hex()}"


def _uuid(data: bytes) -> str:
    return str(uuid.UUID(bytes=data))


def _float8(data: bytes) -> str:
    (number,) = struct.unpack("!d", data)
    special = {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}.get(repr(number))
    if special or not number:
        return special or repr(number).removesuffix(".0")
    # Like PostgreSQL, Python prints the shortest digits that are read as the same number.
    sign, digits, exponent = Decimal(repr(number)).normalize().as_tuple()
    point = len(digits) + int(exponent) - 1
    text, minus = "".join(map(str, digits)), "-" if sign else ""
    if _LEAST <= point < _GREATEST:
        return f"{Decimal(repr(number)).normalize():f}"
    fraction = f".{text[1:]}" if len(text) > 1 else ""
    return f"{minus}{text[0]}{fraction}e{'-' if point < 0 else '+'}{abs(point):02}"


def _numeric(data: bytes) -> str:
    count, weight, sign, scale = struct.unpack("!HhHH", data[:8])
    digits = struct.unpack(f"!{count}H", data[8:])
    if sign == _NUMERIC_NAN:
        return "NaN"
    if any(digit > _GREATEST_DIGIT for digit in digits) or max(count, abs(weight), scale) > _MOST_DIGITS:
        raise ValueError
    number = int("".join(f"{digit:04}" for digit in digits) or "0")
    exponent = _BASE_DIGITS * (weight - count + 1)
    return f"{Decimal((_NUMERIC_SIGNS[sign], _digits(number), exponent)):.{scale}f}"


def _digits(number: int) -> tuple[int, ...]:
    return tuple(map(int, str(number)))


def _date(data: bytes) -> str:
    (days,) = struct.unpack("!i", data)
    return (_EPOCH + dt.timedelta(days=days)).date().isoformat()


def _timestamp(data: bytes) -> str:
    (microseconds,) = struct.unpack("!q", data)
    text = (_EPOCH + dt.timedelta(microseconds=microseconds)).isoformat(" ")
    return text.rstrip("0") if "." in text else text


def _timestamptz(data: bytes) -> str:
    return f"{_timestamp(data)}+00"


_DECODERS: dict[int, Callable[[bytes], str]] = {
    16: _bool,
    17: _bytea,
    19: _text,
    20: _integer(8),
    21: _integer(2),
    23: _integer(4),
    25: _text,
    26: _integer(4, signed=False),
    114: _text,
    701: _float8,
    1042: _text,
    1043: _text,
    1082: _date,
    1114: _timestamp,
    1184: _timestamptz,
    1700: _numeric,
    2950: _uuid,
    3802: _jsonb,
}
