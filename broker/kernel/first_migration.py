"""Tables that are made all at once."""

from __future__ import annotations

from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.migrations import Migration
from django.db.migrations.state import ProjectState


class FirstMigration(Migration):
    """Makes its tables from the state in which it ends. Its operations are all ``CreateModel``, in any order.

    Django makes classes of all related models again for each table, and here nearly all are related to an identity. Foreign
    keys are added after the tables, so that tables may refer to each other in a circle.
    """

    def apply(
        self, project_state: ProjectState, schema_editor: BaseDatabaseSchemaEditor, collect_sql: bool = False
    ) -> ProjectState:
        """Make the tables, and return the state with them."""
        before = project_state.clone()
        # Without classes there are none to make again.
        project_state.__dict__.pop("apps", None)
        for operation in self.operations:
            operation.state_forwards(self.app_label, project_state)
        for operation in self.operations:
            operation.database_forwards(self.app_label, schema_editor, before, project_state)
        return project_state
