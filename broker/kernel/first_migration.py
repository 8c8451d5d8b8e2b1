"""A fast first migration, which creates all tables in one step."""

from __future__ import annotations

from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.migrations import Migration
from django.db.migrations.state import ProjectState


class FirstMigration(Migration):
    """A migration that creates its tables from its final state. All its operations are ``CreateModel``, in
    any order.

    Otherwise, Django would rebuild the classes of all related models for each table. Here, nearly all models
    are related. Foreign keys are added after the tables, so that tables may reference each other in a cycle.
    """

    def apply(
        self, project_state: ProjectState, schema_editor: BaseDatabaseSchemaEditor, collect_sql: bool = False
    ) -> ProjectState:
        """Create the tables, and return the state with them."""
        before = project_state.clone()
        # The state has no classes yet, so Django has nothing to rebuild.
        project_state.__dict__.pop("apps", None)
        for operation in self.operations:
            operation.state_forwards(self.app_label, project_state)
        for operation in self.operations:
            operation.database_forwards(self.app_label, schema_editor, before, project_state)
        return project_state
