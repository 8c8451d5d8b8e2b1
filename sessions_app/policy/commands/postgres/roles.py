"""Roles that no grant may be a member of, by name.

Source: PostgreSQL 18, section 21.5 (Predefined Roles).
"""

from __future__ import annotations

MARKS = ("stint_",)

# The effect of these roles ends with the grant and is limited to the database's own statistics.
HARMLESS = frozenset(
    ("pg_monitor", "pg_read_all_settings", "pg_read_all_stats", "pg_stat_scan_tables", "pg_checkpoint")
)
# This role reads every table of every database. It is allowed with a reason.
WIDE = frozenset(("pg_read_all_data",))
# Superusers and similar roles, by the names that servers and cloud services use.
POWERFUL = frozenset(
    (
        "postgres",
        "rds_superuser",
        "rdsadmin",
        "cloudsqlsuperuser",
        "cloudsqladmin",
        "azure_pg_admin",
        "azuresu",
        "alloydbsuperuser",
        "alloydbadmin",
        "neon_superuser",
        "supabase_admin",
        "doadmin",
        "crunchy_superuser",
        "edb_admin",
        "pg_signal_backend",
    )
)
SYSTEM_SCHEMAS = frozenset(("pg_catalog", "information_schema", "pg_toast"))
# Schemas of pg_cron, pgAgent and pg_timetable. With USAGE on such a schema, a role can call functions that
# add a job.
SCHEDULERS = frozenset(("cron", "pgagent", "timetable"))


def role_fault(name: str) -> str | None:
    """Return why no grant may have this role, as a clause; None if its name is allowed."""
    if name == "public":
        return "is not a role"
    if name.startswith(MARKS):
        return "belongs to Stint itself"
    if name in POWERFUL:
        return "has rights on the whole server"
    if name.startswith("pg_") and name not in HARMLESS | WIDE:
        return (
            "is a predefined role that writes, runs programs, reads the server's files or acts on other"
            " sessions"
        )
    return None
