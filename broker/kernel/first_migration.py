"""Tables that are created all at once."""

from __future__ import annotations

from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.migrations import Migration
from django.db.migrations.state import ProjectState


class FirstMigration(Migration):
    """Creates its tables from its final state. Its operations are all ``CreateModel``, in any order.

    For each table, Django builds the classes of all related models again, and here nearly all are related to an
    identity. Foreign keys are added after the tables, so that tables may refer to each other in a circle.
    """

    def apply(
        self, project_state: ProjectState, schema_editor: BaseDatabaseSchemaEditor, collect_sql: bool = False
    ) -> ProjectState:
        """Create the tables, and return the state with them."""
        before = project_state.clone()
        # Without classes, there are none to build again.
        project_state.__dict__.pop("apps", None)
        for operation in self.operations:
            operation.state_forwards(self.app_label, project_state)
        for operation in self.operations:
            operation.database_forwards(self.app_label, schema_editor, before, project_state)
        return project_state
