"""What the shipped alerts fire at, by Prometheus' own promtool."""

import subprocess

import pytest
import yaml

from tests.broker.monitoring.test_metrics import KNOWN, names_in
from tests.environment import ROOT

RULES = ROOT / ".deploy" / "monitoring" / "alerts.yaml"
# All is well for seven hours: each series, by minutes, as promtool writes it.
ENDS, PAGES = (
    'stint_end_proven_seconds_{}{{cause="revoke"{}}}',
    'stint_http_request_seconds_{}{{route="/"{}}}',
)
WELL = {
    "stint_database_up": "1x420",
    "stint_queue_up": "1x420",
    "stint_record_intact": "1x420",
    "stint_recordings_free_bytes": "9000000000x420",
    'stint_error_budget_left_ratio{cause="revoke"}': "0.9x420",
    'stint_gateway_silent_seconds{gateway="one"}': "1x420",
    'stint_database_connections{instance="a",application="stint",state="idle"}': "20x420",
    'stint_database_connections_limit{instance="a"}': "200x420",
    ENDS.format("bucket", ',le="2.0"'): "0+100x420",
    ENDS.format("count", ""): "0+100x420",
    PAGES.format("bucket", ',status="2xx",le="0.1"'): "0+100x420",
    PAGES.format("bucket", ',status="2xx",le="+Inf"'): "0+100x420",
    PAGES.format("count", ',status="2xx"'): "0+100x420",
    'stint_gateway_cut_seconds_bucket{cause="deadline",le="0.1"}': "0+100x420",
    'stint_gateway_cut_seconds_bucket{cause="deadline",le="+Inf"}': "0+100x420",
}
# What differs when something is wrong, and what fires then besides the alert itself.
FAULTS = {
    "StintAccessNotEnded": {"stint_oldest_overdue_end_seconds": "90x420"},
    "StintSweepersSilent": {"stint_sweepers_silent_seconds": "100x420"},
    "StintEndsLateFast StintEndsLateSlow": {ENDS.format("bucket", ',le="2.0"'): "0+90x420"},
    "StintEndsLateSlow": {ENDS.format("bucket", ',le="2.0"'): "0+99.2x420"},
    "StintErrorBudgetUsedUp": {'stint_error_budget_left_ratio{cause="revoke"}': "-0.2x420"},
    "StintDeadlineCutLate": {
        'stint_gateway_cut_seconds_bucket{cause="deadline",le="0.1"}': "0+90x420",
        'stint_gateway_cut_seconds_bucket{cause="deadline",le="1.0"}': "0+100x420",
    },
    "StintRecordBroken": {"stint_record_intact": "0x420"},
    "StintRecordNotVerified": {"stint_record_verified_seconds": "4000x420"},
    "StintCheckpointsFailing": {"stint_oldest_unsigned_entry_seconds": "400x420"},
    "StintRecordBacklog": {"stint_record_backlog_entries": "1x420"},
    "StintAbsent": {"stint_database_up": "stale"},
    "StintDatabaseDown": {"stint_database_up": "0x420"},
    "StintQueueDown": {"stint_queue_up": "0x420"},
    "StintQueueBehind": {'stint_oldest_queued_message_seconds{queue="notify"}': "100x420"},
    "StintTasksFailing": {'stint_task_seconds_count{task="notices.send",outcome="failed"}': "0+1x420"},
    "StintGatewaySilent": {'stint_gateway_silent_seconds{gateway="one"}': "20x420"},
    "StintGatewayLostItsDatabase": {"stint_gateway_lease_lost_total": "0x415 1x5"},
    "StintErrors": {PAGES.format("count", ',status="5xx"'): "0+5x420"},
    "StintSlow": {
        PAGES.format("bucket", ',status="2xx",le="0.1"'): "0+50x420",
        PAGES.format("bucket", ',status="2xx",le="1.0"'): "0+100x420",
    },
    "StintDatabaseConnections": {
        'stint_database_connections{instance="a",application="stint",state="idle"}': "170x420"
    },
    "StintClockOff": {'stint_clock_skew_seconds{instance="a"}': "-3x420"},
    "StintTargetsFailing": {"stint_targets_failing": "2x420"},
    "StintDrift": {'stint_drift{kind="changed"}': "1x420"},
    "StintNotReconciled": {"stint_oldest_unreconciled_cluster_seconds": "1000x420"},
    "StintSourcesFailing": {"stint_workflow_sources_failing": "1x420"},
    "StintMailBehind": {"stint_notices_given_up": "9x420"},
    "StintWebhooksFailing": {"stint_webhooks_paused": "1x420", "stint_webhooks_failing": "0x420"},
    "StintHoldsWaiting": {"stint_oldest_hold_waiting_seconds": "700x420"},
    "StintRecordingsDiskFull": {"stint_recordings_free_bytes": "1000x420"},
}


def alerts() -> dict[str, dict]:
    groups = yaml.safe_load(RULES.read_text())["groups"]
    return {rule["alert"]: rule for group in groups for rule in group["rules"]}


def scenario(firing: str, changes: dict[str, str]) -> dict:
    """All is well but for the changes, and these alerts fire after seven hours, and no others."""
    return {
        "interval": "1m",
        "input_series": [
            {"series": series, "values": values} for series, values in {**WELL, **changes}.items()
        ],
        "promql_expr_test": [
            {
                "expr": 'count by (alertname) (ALERTS{alertstate="firing"})',
                "eval_time": "7h",
                "exp_samples": [{"labels": f'{{alertname="{name}"}}', "value": 1} for name in firing.split()],
            }
        ],
    }


@pytest.mark.processes
def test_each_alert_fires_at_its_fault_and_none_while_all_is_well(tmp_path):
    assert {name for names in FAULTS for name in names.split()} == set(alerts())
    tests = [scenario("", {}), *(scenario(firing, changes) for firing, changes in FAULTS.items())]
    document = {"rule_files": [str(RULES)], "evaluation_interval": "1m", "tests": tests}
    (path := tmp_path / "alerts.test.yaml").write_text(yaml.safe_dump(document))
    done = subprocess.run(
        ["promtool", "test", "rules", str(path)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_alert_names_metrics_that_are_there_and_the_section_that_says_what_to_do(db, client):
    guide = client.get("/docs/monitoring/").content.decode()
    for name, rule in alerts().items():
        assert names_in(rule["expr"]) <= KNOWN.keys(), name
        assert rule["labels"]["severity"] in ("page", "ticket"), name
        path, _, anchor = rule["annotations"]["runbook"].partition("#")
        assert path == "/docs/monitoring/"
        assert f' id="{anchor}"' in guide, name
