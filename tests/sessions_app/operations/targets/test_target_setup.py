"""What the administrators of targets are told to do, for each kind of cluster."""

import pytest

from sessions_app.models import Cluster
from sessions_app.operations.catalog.apply_catalog import apply_catalog
from sessions_app.operations.targets.ensure_authority import ensure_authority
from sessions_app.operations.targets.target_setup import HIDDEN_KEY, http_sites, setup_texts, ssh_setup
from sessions_app.queries.gateways.keys import SSH_USER_CA
from tests.support.world.acts import change
from tests.support.world.world import SETUP

KEY = "k" * 40
CA = "-----BEGIN CERTIFICATE-----\\nMIIB\\n-----END CERTIFICATE-----"
CLUSTERS = {
    "postgres": "{user: broker, password: x, sslmode: require, read_statements: true}",
    "http": f"{{proxy: caddy, proxy_key: {KEY}, host: api.example.com, base_path: /v1/}}",
    "kubernetes": f'{{ca: "{CA}", token: x, namespaces: [shop]}}',
    "mcp": "{token: x, path: /tools}",
}
SETS = {
    "postgres": "  - {grant: ROLE reporting_reader, effect: read}\n",
    "http": "  - {request: GET /v1/orders, effect: read}\n",
    "kubernetes": "  - {run: get pods -n shop, effect: read}\n",
    "mcp": "  - {tool: get_order, effect: read}\n",
}
EXAMPLES = {
    "postgres": ("ROLE reporting_reader", "ROLE postgres"),
    "http": ("GET /v1/orders", "POST /v1/orders"),
    "kubernetes": ("get pods -n shop", "delete pods x -n shop"),
    "mcp": ("get_order", "delete_order"),
}


def cluster(world, kind: str, connection: str = "") -> Cluster:
    allow, refuse = EXAMPLES[kind]
    policy = world.catalog["policies/web-work.yaml"]
    apply_catalog(
        files={
            **world.catalog,
            "clusters/one.yaml": (
                f"name: one\nkind: {kind}\nenvironment: staging\nrisk: low\nconnection:"
                f" {connection or CLUSTERS[kind]}\ntargets: [{{name: t-1, address: one.example.com}}]\n"
            ),
            "command-sets/some.yaml": (
                f"name: some\nkind: {kind}\nsummary: Some\nrisk: low\ncommands:\n{SETS[kind]}"
                f'examples: {{allow: ["{allow}"], refuse: ["{refuse}"]}}\n'
            ),
            "policies/web-work.yaml": (
                policy.replace("[web]", "[web, one]").replace("[restart-web]", "[restart-web, some]")
            ),
        },
        actor=SETUP,
        now=world.now,
    )
    return Cluster.objects.get(name="one")


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        (
            "postgres",
            [
                'CREATE ROLE "broker" LOGIN',
                'GRANT "reporting_reader" TO "broker"',
                "pg_read_all_stats",
                "EVENT TRIGGER",
            ],
        ),
        ("http", ["api.example.com", "t-1", HIDDEN_KEY]),
        ("kubernetes", ["ServiceAccount", "pods", "shop"]),
    ],
)
def test_it_says_what_to_do_there_and_holds_no_secret(world, kind, said):
    text = "\n".join(one.text for one in setup_texts(cluster(world, kind)))
    assert [word for word in said if word not in text] == []
    assert KEY not in text


def test_the_command_for_proxies_has_the_key(world):
    ((proxy, site),) = http_sites(cluster(world, "http"))
    assert (proxy, site.proxy_key, site.origin) == ("caddy", KEY, "https://api.example.com")


def test_hosts_are_told_in_another_way(world):
    assert setup_texts(Cluster.objects.get(name="web")) == []


def test_for_mcp_it_is_said_who_may_reach_the_server_and_where_agents_connect(world):
    server, client = setup_texts(cluster(world, "mcp"))
    assert "one.example.com:443" in server.text
    assert "/mcp/one" in client.text
    assert "Bearer ${TOKEN}" in client.text


def test_what_command_sets_run_as_root_is_in_the_setup(world):
    text = world.catalog["command-sets/restart-web.yaml"]
    change(
        world,
        {
            "command-sets/restart-web.yaml": text.replace(
                "    effect: change\n", "    effect: change\n    as: root\n", 1
            )
        },
    )
    ensure_authority(SSH_USER_CA, now=world.now)
    web = Cluster.objects.get(name="web")
    web.targets.update(account="stint")
    setup = ssh_setup(web, gateways=["192.0.2.1"])
    assert "\nstint ALL=(root) NOPASSWD: /etc/ssh/stint_as_root echo restart nginx\n" in setup.script
    assert "visudo -cqf /etc/sudoers.d/stint-web.new" in setup.script
