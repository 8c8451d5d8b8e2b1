"""Errors of workflows that several operations raise."""

from broker.kernel.errors import Forbidden


class BoundToOtherWorkflow(Forbidden):
    """The token is bound to one workflow, but the request names another. Leave the workflow out."""

    code = "bound_to_other_workflow"
