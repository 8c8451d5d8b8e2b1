"""How long this machine takes for a fixed piece of Django's own work.

On a slow machine, or beside busy neighbors, a limit in milliseconds would measure the machine. So limits for
the work of Python are set for a machine that does this piece of work in REFERENCE_MS, and are multiplied by
how many times as long it takes here, in the same run.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from django.contrib.auth.models import Permission
from django.template import Context, Engine, Template

from tests.bench.report import percentile

REFERENCE_MS = 7.0
ROWS, STATEMENTS, SAMPLES = 60, 12, 3
TABLE = """<table>{% for row in rows %}<tr class="{% cycle 'odd' 'even' %}">
{% if row.live %}<td>{{ row.name }}</td>
{% else %}<td>{{ row.name|upper }}</td>{% endif %}<td>{{ row.number|add:1 }}</td>
{% for part in row.parts %}<td>{{ part|default:"none" }}</td>{% endfor %}</tr>{% endfor %}</table>"""


@dataclass
class Yardstick:
    """Samples of the work, in ms, taken through a run."""

    took: list[float] = field(default_factory=list)

    def sample(self) -> None:
        """Do the work a few times."""
        for _ in range(SAMPLES):
            began = time.perf_counter()
            _work()
            self.took.append((time.perf_counter() - began) * 1000)

    def slowness(self, percent: float = 50) -> float:
        """Return this percentile of the samples over REFERENCE_MS, and at least 1.

        A limit for a 95th percentile is multiplied by that of the samples, because both have the same
        neighbors.
        """
        return max(1.0, percentile(self.took, percent) / REFERENCE_MS)

    def __str__(self) -> str:
        p50, p95 = (percentile(self.took, percent) for percent in (50, 95))
        return f"yardstick: p50 {p50:.1f} ms, p95 {p95:.1f} ms; limits are set for {REFERENCE_MS:g} ms"


def _work() -> None:
    """Render a table, compose statements, and write and read JSON: what pages consist of."""
    rows = _rows()
    _table().render(Context({"rows": rows}))
    for number in range(STATEMENTS):
        found = Permission.objects.filter(codename__in=["a", "b"], content_type__app_label=str(number))
        found.select_related("content_type").order_by("name").query.sql_with_params()
    json.loads(json.dumps(rows))


@cache
def _table() -> Template:
    return Engine().from_string(TABLE)


@cache
def _rows() -> list[dict[str, Any]]:
    return [
        {"name": f"row {number} & more", "number": number, "live": number % 3, "parts": ["a", "", "<c>"]}
        for number in range(ROWS)
    ]
