"""The states of a grant. A state that is read takes into account an end that is committed but not yet
stored in the row.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from django.core.exceptions import FieldError
from django.db import models
from django.db.models.expressions import Col
from django.db.models.lookups import Exact, In


class GrantState(models.TextChoices):
    """The states of a grant: SCHEDULED → PROVISIONING → ACTIVE → REVOKING → ENDED.

    The database rejects any other transition.
    """

    SCHEDULED = "scheduled"
    PROVISIONING = "provisioning"
    ACTIVE = "active"
    REVOKING = "revoking"
    ENDED = "ended"


# The transitions that the database allows, the same as in the trigger `stint_grant_edges` of migration 0002.
TRANSITIONS = {
    GrantState.SCHEDULED: frozenset({GrantState.PROVISIONING, GrantState.REVOKING, GrantState.ENDED}),
    GrantState.PROVISIONING: frozenset({GrantState.ACTIVE, GrantState.REVOKING}),
    GrantState.ACTIVE: frozenset({GrantState.REVOKING}),
    GrantState.REVOKING: frozenset({GrantState.ENDED}),
    GrantState.ENDED: frozenset[GrantState](),
}
# The states before an end has begun.
BEFORE_END = (GrantState.SCHEDULED, GrantState.PROVISIONING, GrantState.ACTIVE)
_BEFORE_END = ", ".join(f"'{state.value}'" for state in BEFORE_END)

# The ids of grants whose end waits for a row lock (`EndIntent`). There are rarely any, so each statement
# reads them once.
_ENDING = "ARRAY(SELECT grant_id FROM sessions_app_endintent)"
# Matches "sessions_app_grant"."state", or the same column under an alias.
_COLUMN = re.compile(r'(?P<table>"[^"]+"|\w+)\."state"')


if TYPE_CHECKING:
    _Field = models.CharField[str, str]
else:
    _Field = models.CharField


class GrantStateField(_Field):
    """The state of a grant.

    If the grant's end waits for a row lock (`EndIntent`), Django selects and filters the state as REVOKING,
    although the row has another state until its lock is released. In the database, the field is a plain
    CharField, and triggers and the sweep see the stored state.
    """

    def deconstruct(self) -> Any:
        """Return the field as a plain column for migrations."""
        name, _, args, kwargs = super().deconstruct()
        return name, "django.db.models.CharField", args, kwargs

    def select_format(self, compiler: Any, sql: str, params: Any) -> tuple[str, Any]:
        """Return the SQL with which the column is selected."""
        found = _COLUMN.fullmatch(sql)
        if found is None:
            return sql, params
        ending = f'{sql} IN ({_BEFORE_END}) AND {found["table"]}."id" = ANY({_ENDING})'
        return f"CASE WHEN {ending} THEN '{GrantState.REVOKING.value}' ELSE {sql} END", params

    def get_lookup(self, lookup_name: str) -> Any:
        """Return a lookup that treats grants whose end waits for a row lock as REVOKING.

        Raises FieldError for unsupported lookups.
        """
        if lookup_name not in ("exact", "in"):
            raise FieldError(f"The state of a grant can't be filtered with {lookup_name}.")
        return super().get_lookup(lookup_name)


def _filtered(lookup: Exact[Any] | In[Any], wanted: object, sql: str, compiler: Any) -> str:
    """Convert a condition on the column to a condition on the state. Indexes on the column still apply."""
    if not isinstance(lookup.lhs, Col):
        return sql
    if not isinstance(wanted, (list, tuple, set)) or not all(isinstance(one, str) for one in wanted):
        raise FieldError("The state of a grant can only be compared with states.")
    before = {state for state in BEFORE_END if state in wanted}
    if len(before) == (len(BEFORE_END) if GrantState.REVOKING in wanted else 0):
        return sql
    table = compiler.quote_name_unless_alias(lookup.lhs.alias)
    if GrantState.REVOKING in wanted:
        return f'({sql} OR {table}."id" = ANY({_ENDING}) AND {table}."state" IN ({_BEFORE_END}))'
    over = f"""{table}."state" = '{GrantState.ENDED.value}' OR """ if GrantState.ENDED in wanted else ""
    return f'({sql} AND ({over}{table}."id" <> ALL({_ENDING})))'


@GrantStateField.register_lookup
class _Is(Exact):  # type: ignore[type-arg]
    def as_sql(self, compiler: Any, connection: Any) -> Any:
        sql, params = super().as_sql(compiler, connection)
        return _filtered(self, [self.rhs], sql, compiler), params


@GrantStateField.register_lookup
class _IsOneOf(In):  # type: ignore[type-arg]
    def as_sql(self, compiler: Any, connection: Any) -> Any:
        sql, params = super().as_sql(compiler, connection)
        return _filtered(self, self.rhs, sql, compiler), params
