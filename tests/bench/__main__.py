"""`python -m tests.bench [part …]`."""

import importlib
import os
import sys

PARTS = (
    "http",
    "sweeping",
    "ends",
    "record",
    "ssh",
    "postgres",
    "work",
    "flood",
    "scale",
    "gateways",
    "clusters",
    "statements",
    "stack",
)
# These run only when they are named: long benchmarks, parts of `scale`, and one that tests measure in part.
DRILLS = ("life", "decisions", "fleet", "reconciling", "pages", "mail", "agents")


def main(wanted: list[str]) -> int:
    """Run the parts, and return 1 if a figure exceeds its limit, 2 for an unknown part."""
    if unknown := sorted({*wanted} - {*PARTS, *DRILLS}):
        known = ", ".join((*PARTS, *DRILLS))
        print(f"There is no bench {', '.join(unknown)}. There are: {known}.", file=sys.stderr)
        return 2
    os.environ["STINT_TEST_DURABLE"] = "1"
    os.environ["DJANGO_SETTINGS_MODULE"] = "broker.settings"
    importlib.import_module("tests.environment")
    import django

    django.setup()
    from tests.bench.report import Report

    report = Report()
    for part in wanted or PARTS:
        print(f"{part}", flush=True)
        importlib.import_module(f"tests.bench.{part}").run(report)
    print(
        f"\n{len(report.over)} exceeds the limit: {', '.join(report.over)}"
        if report.over
        else "\nAll limits kept."
    )
    return 1 if report.over else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
