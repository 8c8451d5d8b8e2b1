"""Which roles no grant may be a member of, as far as their names say.

Source: PostgreSQL 18, section 21.5 (Predefined Roles).
"""

from __future__ import annotations

MARKS = ("stint_",)

# What they give ends with the grant and stays inside the database's own statistics.
HARMLESS = frozenset(
    ("pg_monitor", "pg_read_all_settings", "pg_read_all_stats", "pg_stat_scan_tables", "pg_checkpoint")
)
# Allowed with a reason: it reads every table of every database.
WIDE = frozenset(("pg_read_all_data",))
# Superusers and their like, by the names that servers and services give them.
POWERFUL = frozenset(
    ("postgres", "rds_superuser", "rdsadmin", "cloudsqlsuperuser", "cloudsqladmin", "azure_pg_admin", "azuresu",
     "alloydbsuperuser", "alloydbadmin", "neon_superuser", "supabase_admin", "doadmin", "crunchy_superuser",
     "edb_admin", "pg_signal_backend")
)  # fmt: skip
# Schemas of pg_cron, pgAgent and pg_timetable: who may use one may call what adds a job.
SCHEDULERS = frozenset(("cron", "pgagent", "timetable"))


def role_fault(name: str) -> str | None:
    """Why no grant may have this role, as a clause; None when its name says nothing against it."""
    if name == "public":
        return "is not a role"
    if name.startswith(MARKS):
        return "belongs to Stint itself"
    if name in POWERFUL:
        return "has power over the whole server"
    if name.startswith("pg_") and name not in HARMLESS | WIDE:
        return "is a predefined role that writes, runs programs, reads the server's files or acts on other sessions"
    return None
