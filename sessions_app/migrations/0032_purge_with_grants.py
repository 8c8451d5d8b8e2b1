"""Deletes ended commands, held files, views and used budgets along with their grants, and keeps a grant while the rows of a
held transaction are kept.
"""

from __future__ import annotations

import importlib

from django.apps.registry import Apps
from django.db import migrations
from django.db.backends.base.schema import BaseDatabaseSchemaEditor

from broker.audit.migrations._schema import run

_GRANTS = importlib.import_module("sessions_app.migrations.0019_legal_holds").GRANTS
_RUNS = "    DELETE FROM {schema}.sessions_app_commandrun c WHERE c.id = ANY (v_runs);"
_LAST = "ORDER BY g.ended_at LIMIT p_most"
_OF_RUNS = """\
    DELETE FROM {schema}.sessions_app_watch w WHERE w.run_id = ANY (v_runs);
    DELETE FROM {schema}.sessions_app_heldfile f WHERE f.run_id = ANY (v_runs);
    DELETE FROM {schema}.sessions_app_runstop s WHERE s.run_id = ANY (v_runs);
    DELETE FROM {schema}.sessions_app_budgetuse b WHERE b.grant_id = ANY (v_grants);
"""
_KEPT = """\
AND NOT EXISTS (SELECT FROM {schema}.sessions_app_heldcommit h
             JOIN {schema}.sessions_app_commandrun r ON r.id = h.run_id WHERE r.grant_id = g.id)
         """
GRANTS = _GRANTS.replace(_LAST, _KEPT + _LAST).replace(_RUNS, _OF_RUNS + _RUNS)


def install(_apps: Apps, editor: BaseDatabaseSchemaEditor) -> None:
    """Replace the function."""
    run(editor, GRANTS)


def restore(_apps: Apps, editor: BaseDatabaseSchemaEditor) -> None:
    """Restore the function of the migration before."""
    run(editor, _GRANTS)


class Migration(migrations.Migration):
    """One function."""

    dependencies = [("sessions_app", "0031_allowed_times")]

    operations = [migrations.RunPython(install, restore)]
