"""The gateways, and the addresses at which they listen."""

from __future__ import annotations

from broker.env import Group

SSH = Group("SSH gateway", "For operators of SSH gateways.")
SSH_HOST = SSH.text(
    "STINT_SSH_HOST", "127.0.0.1", "The address at which the SSH gateway listens.", values="an IP address"
)
SSH_PORT = SSH.number("STINT_SSH_PORT", 2222, "The port at which the SSH gateway listens.")
SSH_PUBLIC_HOST = SSH.text(
    "STINT_SSH_PUBLIC_HOST",
    "127.0.0.1",
    "The host that people connect to. Behind a load balancer, use the host of the load balancer.",
    values="a host name or an IP address",
)
SSH_SOURCE_ADDRESS = SSH.items(
    "STINT_SSH_SOURCE_ADDRESS",
    (),
    "The addresses from which the gateway connects, as targets see them. Each certificate is bound to"
    " these addresses. The setup of a target whose account is root requires them.",
    values="IP addresses or networks, separated by commas",
    shown="the local address of the connection",
)
PAGE_FILE_MIB = SSH.number(
    "STINT_PAGE_FILE_MIB",
    64,
    "The maximum size of a file that is downloaded or uploaded on the page of a grant, in MiB. The file waits"
    " encrypted in the database, for minutes. Larger files are transferred with `stint cp`.",
)

GATEWAYS = Group(
    "HTTPS gateways",
    "For operators of gateways for HTTP, Kubernetes and MCP, which share one TLS listener.",
)
GATEWAY_HOST = GATEWAYS.text(
    "STINT_GATEWAY_HOST", "127.0.0.1", "The address at which the gateways listen.", values="an IP address"
)
GATEWAY_PORT = GATEWAYS.number("STINT_GATEWAY_PORT", 8443, "The port at which the gateways listen.")
GATEWAY_PUBLIC_URL = GATEWAYS.text(
    "STINT_GATEWAY_PUBLIC_URL",
    "",
    "The URL at which clients reach the gateways.",
    values="an https URL without a path",
    shown="`https://localhost` with `STINT_GATEWAY_PORT`",
)
GATEWAY_CERTIFICATE = GATEWAYS.text(
    "STINT_GATEWAY_CERTIFICATE",
    "",
    "The certificate chain that the gateways present. Set it together with `STINT_GATEWAY_KEY`. Both files"
    " are read again within seconds after a change.",
    values="the path of a PEM file",
    shown="a certificate of Stint's own authority",
)
GATEWAY_KEY = GATEWAYS.text(
    "STINT_GATEWAY_KEY",
    "",
    "The unencrypted private key of the certificate.",
    values="the path of a PEM file",
)
GATEWAY_DRAIN_MINUTES = GATEWAYS.number(
    "STINT_GATEWAY_DRAIN_MINUTES",
    10,
    "How long a draining gateway waits for running commands and requests, in minutes.",
)

POSTGRES = Group(
    "PostgreSQL gateway",
    "For operators of PostgreSQL gateways. Clients reach them at the host of `STINT_GATEWAY_PUBLIC_URL`, with"
    " the certificate of the HTTPS gateways.",
)
POSTGRES_GATEWAY_HOST = POSTGRES.text(
    "STINT_POSTGRES_GATEWAY_HOST",
    "127.0.0.1",
    "The address at which the PostgreSQL gateway listens.",
    values="an IP address",
)
POSTGRES_GATEWAY_PORT = POSTGRES.number(
    "STINT_POSTGRES_GATEWAY_PORT",
    5433,
    "The port at which the PostgreSQL gateway listens, and which clients use. The default is the port"
    " after PostgreSQL's own 5432. Change it if a second PostgreSQL server on the machine uses it.",
)
COMMIT_HOLD_SECONDS = POSTGRES.number(
    "STINT_COMMIT_HOLD_SECONDS",
    300,
    "How long a transaction can wait at its COMMIT for a second person's approval, in seconds. Its rows "
    "stay locked until then, so keep the time short. At most 300.",
    least=10,
)
