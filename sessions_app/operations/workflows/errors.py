"""Errors of workflows that several operations raise."""

from broker.kernel.errors import Forbidden


class BoundToOtherWorkflow(Forbidden):
    """A token that is bound to one workflow names another."""

    code = "bound_to_other_workflow"
