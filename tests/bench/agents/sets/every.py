"""The suites by name."""

from tests.bench.agents.sets import banking, slack, travel, workspace

SUITES = {
    "banking": banking.SUITE,
    "slack": slack.SUITE,
    "travel": travel.SUITE,
    "workspace": workspace.SUITE,
}
