"""Protection against SSRF: whether Stint may connect to an address that users chose.

Sources: the IANA registries of special-purpose addresses for IPv4 and IPv6 (RFC 6890), and RFC 6052, 3056,
4380.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

# Addresses that look public but may lead to internal systems: those that embed an IPv4 address (compatible,
# mapped, NAT64, 6to4 and its relays, Teredo), the block for protocol assignments, where clouds have services,
# and an address that is internal to Azure.
_DISGUISED = [
    ipaddress.ip_network(text)
    for text in (
        "::/96",
        "::ffff:0:0/96",
        "64:ff9b::/96",
        "64:ff9b:1::/48",
        "2002::/16",
        "2001::/32",
        "192.88.99.0/24",
        "192.0.0.0/24",
        "168.63.129.16/32",
    )
]


def why_not(address: Address, allowed: Sequence[Network] = ()) -> str:
    """Return why an address is blocked; empty if it is allowed. ``allowed`` lists internal networks that are
    not blocked.

    Multicast, link-local (the metadata services of clouds) and unspecified addresses are always blocked.
    """
    if address.is_multicast or address.is_link_local or address.is_unspecified:
        return f"{address} is a multicast, link-local or unspecified address"
    if within(address, allowed):
        return ""
    # Private, loopback, unique-local, shared, reserved and documentation networks.
    odd = address.is_reserved or (address.version == 6 and address.is_site_local)
    if odd or not address.is_global:
        return f"{address} is not a public address"
    return f"{address} embeds another address" if within(address, _DISGUISED) else ""


def within(address: Address, networks: Sequence[Network]) -> bool:
    """Whether an address is in one of the networks."""
    return any(address.version == network.version and address in network for network in networks)


def source_of(address: str) -> str:
    """Return the key by which attempts from an address are counted: the address or, for IPv6, its /64, which
    usually belongs to one host.
    """
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return "unknown"
    if isinstance(found, ipaddress.IPv4Address):
        return str(found)
    if found.ipv4_mapped:
        return str(found.ipv4_mapped)
    return str(ipaddress.ip_network((found.packed, 64), strict=False))
