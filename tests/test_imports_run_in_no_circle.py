"""No two files import each other, not even inside functions or for types."""

from graphlib import CycleError, TopologicalSorter

import grimp
import pytest


def test_no_import_leads_back_to_where_it_began():
    graph = grimp.build_graph("broker", "accounts", "sessions_app")
    needs = {module: graph.find_modules_directly_imported_by(module) for module in graph.modules}
    try:
        TopologicalSorter(needs).prepare()
    except CycleError as error:
        pytest.fail(f"these need each other: {' → '.join(error.args[1])}")
