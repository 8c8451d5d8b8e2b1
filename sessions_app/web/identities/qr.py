"""The QR code for authenticator apps, as an inline SVG path, because the content security policy blocks other
images.
"""

from __future__ import annotations

from urllib.parse import quote, urlencode, urlsplit

from django.conf import settings
from qrcode import QRCode
from qrcode.constants import ERROR_CORRECT_M


def setup_address(username: str, secret: str) -> str:
    """Return the otpauth URI that sets up an authenticator app, with the name that the app displays."""
    issuer = f"Stint {urlsplit(settings.PUBLIC_URL).hostname}"
    query = urlencode({"secret": secret, "issuer": issuer}, quote_via=quote)
    return f"otpauth://totp/{quote(f'{issuer}:{username}')}?{query}"


def qr_path(text: str) -> tuple[int, str]:
    """Return the width of a QR code in modules, including its margin, and the SVG path of its dark
    modules.
    """
    code = QRCode(error_correction=ERROR_CORRECT_M, border=4)
    code.add_data(text)
    rows = code.get_matrix()
    return len(rows), "".join(
        f"M{x} {y}h1v1h-1z" for y, row in enumerate(rows) for x, dark in enumerate(row) if dark
    )
