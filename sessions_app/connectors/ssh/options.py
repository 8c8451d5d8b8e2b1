"""The algorithms and options of SSH connections, at the gateway and to targets.

None of them depend on the environment.
"""

from __future__ import annotations

import getpass
import os
import socket
from pathlib import Path
from typing import Any

# The first is the hybrid with ML-KEM. The 4096-bit and 8192-bit groups are for peers that support none of
# the curves.
KEY_EXCHANGES = (
    "mlkem768x25519-sha256",
    "curve25519-sha256",
    "curve25519-sha256@libssh.org",
    "diffie-hellman-group16-sha512",
    "diffie-hellman-group18-sha512",
)
# By far the fastest ciphers here, supported by all clients. The client's preference decides, and OpenSSH
# prefers ChaCha20, so the gateway does not offer ChaCha20.
FAST_CIPHERS = ("aes128-gcm@openssh.com", "aes256-gcm@openssh.com")
# For connections to targets, which may accept only ChaCha20.
CIPHERS = (*FAST_CIPHERS, "chacha20-poly1305@openssh.com")
# Encrypt-then-MAC. No cipher above needs a MAC, but each side must offer one.
MACS = ("hmac-sha2-256-etm@openssh.com", "hmac-sha2-512-etm@openssh.com")
# Signature algorithms for the keys that people can register. SHA-1 is excluded.
SIGNATURES = (
    "ssh-ed25519",
    "sk-ssh-ed25519@openssh.com",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    "sk-ecdsa-sha2-nistp256@openssh.com",
    "rsa-sha2-512",
    "rsa-sha2-256",
)
# Host key algorithms of targets, as bare keys or as certificates.
HOST_KEYS = (
    "ssh-ed25519",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    "rsa-sha2-512",
    "rsa-sha2-256",
)
HOST_CERTIFICATES = tuple(f"{name}-cert-v01@openssh.com" for name in HOST_KEYS)
_REKEY_BYTES, _REKEY_SECONDS = 1 << 30, 3600
# Bytes of data in one packet that a channel receives. OpenSSH sends packets up to twice this size.
LONGEST_PACKET = 128 * 1024

# Every option whose value the library would otherwise take from configuration files, the home directory,
# agents, tickets or the host name. In the library, such options have the default `()`. A test ensures that
# none is missing here.
CLOSED: dict[str, Any] = {
    "config": None,
    "tunnel": None,
    "proxy_command": None,
    "family": socket.AF_UNSPEC,
    "local_addr": None,
    "tcp_keepalive": True,
    "canonicalize_hostname": False,
    "canonical_domains": [],
    "canonicalize_fallback_local": False,
    "canonicalize_max_dots": 0,
    "canonicalize_permitted_cnames": [],
    "kex_algs": list(KEY_EXCHANGES),
    "encryption_algs": list(CIPHERS),
    "mac_algs": list(MACS),
    "compression_algs": None,
    "signature_algs": list(SIGNATURES),
    "host_based_auth": False,
    "public_key_auth": True,
    "kbdint_auth": False,
    "password_auth": False,
    "x509_trusted_certs": None,
    "x509_trusted_cert_paths": [],
    "rekey_bytes": _REKEY_BYTES,
    "rekey_seconds": _REKEY_SECONDS,
    "connect_timeout": None,
    "gss_host": None,
    "gss_store": None,
    "gss_kex": False,
    "gss_auth": False,
    "agent_forwarding": False,
    "x11_forwarding": False,
}


def have_an_account() -> None:
    """Ensure that the library finds a user name and a home directory, which it requires but does not use.

    A container may run as an account that has neither, in which case every connection would fail.
    """
    try:
        getpass.getuser()
    except (KeyError, OSError):
        os.environ["LOGNAME"] = "stint"
    try:
        Path.home()
    except RuntimeError:
        os.environ["HOME"] = "/nonexistent"


have_an_account()
