"""IP networks in command sets."""

import ipaddress

from sessions_app.policy.commands.characters import clip

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def network_of(text: str, error: type[ValueError]) -> Network:
    """Return the network, or the single address, that a text names. Raises an exception of type ``error``."""
    try:
        if "%" not in text:
            return ipaddress.ip_network(text)
    except ValueError:
        pass
    raise error(f"{clip(text)} is not an address or a network like 10.1.0.0/16")


def is_inside(inner: Network, outer: Network) -> bool:
    """Whether a network is part of another one; false if their IP versions differ."""
    if isinstance(inner, ipaddress.IPv4Network) and isinstance(outer, ipaddress.IPv4Network):
        return inner.subnet_of(outer)
    if isinstance(inner, ipaddress.IPv6Network) and isinstance(outer, ipaddress.IPv6Network):
        return inner.subnet_of(outer)
    return False
