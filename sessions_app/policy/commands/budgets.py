"""Budgets: how often a command may run under one grant, and how much it may spend and return.

A sum is exact: amounts are decimal numbers from 0 up, and anything else is refused.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal, InvalidOperation
from itertools import groupby
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    StrictInt,
    StrictStr,
    WithJsonSchema,
    model_validator,
)

from sessions_app.policy.commands.parameters import Choice, Int, ParameterType, Pattern
from sessions_app.policy.commands.patterns import compile_pattern
from sessions_app.policy.commands.sizes import Size, say_bytes

Measure = Literal["calls", "sum", "bytes", "rows"]
Then = Literal["hold", "refuse", "end"]
# From the mildest to the strictest.
STRICTNESS: Mapping[Then, int] = {"hold": 0, "refuse": 1, "end": 2}
# The code of a refusal because a budget is used up.
BUDGET_USED = "budget"
MAX_BUDGETS = 8
MAX_CALLS, MAX_ROWS, MAX_BYTES = 1_000_000, 1_000_000_000, 10**15
_AMOUNT = re.compile(r"[0-9]{1,15}(?:\.[0-9]{1,6})?")
# Text that is not an amount, for patterns that might match it.
_NO_AMOUNTS = ("-1", "-0.5", "a", "NaN", "1e9", "1,000", "0x1", "")
_THEN: Mapping[Then, str] = {
    "hold": "then each waits for approval",
    "refuse": "then refused",
    "end": "then the grant ends",
}


class AmountRefused(ValueError):
    """A value that can't be added to a sum. The message continues a sentence about the value."""


def amount_of(value: object) -> Decimal:
    """Return a number, or text with a number, as an exact amount.

    Raises AmountRefused for negative numbers, exponents in text, and more than 15 digits or 6 decimal places.
    """
    try:
        # A parsed number's shortest text has the digits that its sender wrote. Python writes no number of
        # thousands of digits.
        exact = value if isinstance(value, str) else format(Decimal(repr(value)), "f")
    except (InvalidOperation, ValueError):
        exact = ""
    if isinstance(value, bool) or _AMOUNT.fullmatch(exact) is None:
        raise AmountRefused("must be a number from 0 up, with at most 15 digits and 6 decimal places")
    return Decimal(exact)


def say_amount(amount: Decimal) -> str:
    """Return an amount without needless zeros, such as `1,340.5`."""
    text = f"{amount.normalize():,f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _exact(value: object) -> Decimal:
    if isinstance(value, Decimal):
        return value
    if not isinstance(value, str | int | float):
        raise ValueError("needs a number")  # noqa: TRY004  # pydantic expects a ValueError
    return amount_of(value)


def _plain(amount: Decimal) -> str:
    return say_amount(amount).replace(",", "")


Amount = Annotated[
    Decimal,
    BeforeValidator(_exact),
    PlainSerializer(_plain, return_type=str, when_used="json"),
    WithJsonSchema({"anyOf": [{"type": "number", "minimum": 0}, {"type": "string"}], "examples": [500]}),
]


class Budget(BaseModel):
    """One limit on all runs of a command together, or of a whole command set, under one grant.

    Grants delegated from the grant count too.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    calls: Annotated[StrictInt, Field(ge=1, le=MAX_CALLS)] | None = Field(
        default=None, description="At most this many runs"
    )
    sum: Annotated[StrictStr, Field(min_length=1, max_length=128)] | None = Field(
        default=None, description="The argument or parameter whose values are added up"
    )
    most: Amount | None = Field(default=None, description="The limit of `sum`")
    bytes: Annotated[Size, Field(ge=1, le=MAX_BYTES)] | None = Field(
        default=None, description="At most this much in results"
    )
    rows: Annotated[StrictInt, Field(ge=1, le=MAX_ROWS)] | None = Field(
        default=None, description="At most this many rows, returned or changed"
    )
    per: Literal["grant", "hour"] = Field(
        default="grant", description="Counted over the whole grant, or over any 60 minutes"
    )
    then: Then = Field(
        default="hold",
        description="What happens to a run that exceeds it: it waits for approval, is refused, or ends "
        "the grant",
    )

    @model_validator(mode="after")
    def _sound(self) -> Self:
        given = [name for name in ("calls", "sum", "bytes", "rows") if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError("needs exactly one of calls, sum, bytes and rows")
        if (self.sum is None) != (self.most is None):
            raise ValueError("needs `most` with `sum`, and only with `sum`: {sum: amount, most: 500}")
        return self

    @property
    def measure(self) -> Measure:
        """What is counted."""
        if self.calls is not None:
            return "calls"
        if self.sum is not None:
            return "sum"
        return "bytes" if self.bytes is not None else "rows"

    @property
    def limit(self) -> Decimal:
        """The maximum amount."""
        if self.most is not None:
            return self.most
        return Decimal(self.calls or self.bytes or self.rows or 0)

    @property
    def text(self) -> str:
        """The limit as a clause: `amount at most 500 in total per hour`."""
        most = self.said(self.limit)
        texts: Mapping[Measure, str] = {
            "calls": f"at most {most}",
            "sum": f"{self.sum} at most {most} in total",
            "bytes": f"results at most {most} in total",
            "rows": f"at most {most} in total",
        }
        return texts[self.measure] + (" per hour" if self.per == "hour" else "")

    def said(self, amount: Decimal) -> str:
        """Return an amount with its unit: `20 calls`, `1.5 KB`, `340`."""
        if self.measure == "bytes":
            return say_bytes(int(amount)) if amount else "0 B"
        number = say_amount(amount)
        if self.measure == "sum":
            return number
        return f"{number} {self.measure if amount != 1 else self.measure[:-1]}"

    def use(self, used: Decimal) -> str:
        """Return how much is used: `12 of 20 calls used`, `340 of 500 used in the last hour`."""
        shown = say_amount(used) if self.measure in ("calls", "rows") else self.said(used)
        during = " in the last hour" if self.per == "hour" else ""
        return f"{shown} of {self.said(self.limit)} used{during}"


def say_budgets(budgets: Iterable[Budget]) -> Iterator[str]:
    """Yield the limits as sentences, grouped by consequence."""
    ordered = sorted(budgets, key=lambda one: STRICTNESS[one.then])
    for then, among in groupby(ordered, key=lambda one: one.then):
        yield f"{', '.join(one.text for one in among)}; {_THEN[then]}"


def looser(inner: Iterable[Budget], outer: Iterable[Budget]) -> str | None:
    """Return, as a clause, which limit of the outer budgets the inner ones exceed; None if they exceed
    none.
    """
    ours = tuple(inner)
    for theirs in outer:
        if not any(_within(one, theirs) for one in ours):
            return f"would exceed the budget: {theirs.text}; {_THEN[theirs.then]}"
    return None


def _within(one: Budget, other: Budget) -> bool:
    return (
        (one.measure, one.sum) == (other.measure, other.sum)
        and one.limit <= other.limit
        and one.per in (other.per, "grant")
        and STRICTNESS[one.then] >= STRICTNESS[other.then]
    )


def uncountable(value: Any) -> str:
    """Return, as a clause, why the values of a type, or a fixed value, can't be added up; empty if they can.

    Patterns are tried with texts that are not amounts, so each run checks its value again.
    """
    if isinstance(value, Int):
        return "" if value.bounds[0] >= 0 else "can be negative: set a lowest value of 0 or more"
    if isinstance(value, Choice):
        return next((fault for one in value.choices if (fault := _fault(one))), "")
    if isinstance(value, Pattern):
        found = compile_pattern(value.pattern)
        odd = any(found.fullmatch(text) for text in _NO_AMOUNTS)
        return "can be other text than a number from 0 up: use int, or a pattern of digits" if odd else ""
    if isinstance(value, ParameterType):
        return "is not a number: use int, choice or a pattern of digits"
    return _fault(value)


def _fault(value: object) -> str:
    try:
        amount_of(value)
    except AmountRefused as error:
        return str(error)
    return ""
