"""Signatures of what the worker sends to web addresses, for both ends: made here, and verified here by a receiver.

They follow the Standard Webhooks specification: HMAC-SHA256 over id, timestamp and body, in the header
``webhook-signature``, as many as there are secrets, so that a receiver that knows any of them is content.
"""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Iterable, Mapping
from typing import Final

ID: Final = "webhook-id"
TIMESTAMP: Final = "webhook-timestamp"
SIGNATURE: Final = "webhook-signature"

SECRET_PREFIX: Final = "whsec_"  # noqa: S105 - what secrets begin with, not one
MIN_SECRET_BYTES: Final = 24
MAX_SECRET_BYTES: Final = 64
TOLERANCE_SECONDS: Final = 300


class SignatureError(ValueError):
    """A message is not from who knows the secret, or it is an old one sent again; the message says which."""


def secret_of(text: str) -> bytes:
    """The bytes of a secret: ``whsec_`` and base64 of 24 to 64 bytes.

    Raises:
        ValueError: it is none; the message does not contain it.
    """
    try:
        secret = base64.b64decode(text.removeprefix(SECRET_PREFIX), validate=True)
    except binascii.Error as error:
        raise ValueError("a secret is whsec_ and base64") from error
    if not text.startswith(SECRET_PREFIX):
        raise ValueError("a secret begins with whsec_")
    if not MIN_SECRET_BYTES <= len(secret) <= MAX_SECRET_BYTES:
        raise ValueError(
            f"a secret has {MIN_SECRET_BYTES} to {MAX_SECRET_BYTES} bytes, this one has {len(secret)}"
        )
    return secret


def signed_headers(delivery_id: str, timestamp: int, body: bytes, secrets: Iterable[bytes]) -> dict[str, str]:
    """The headers of a message; ``timestamp``: seconds since 1970. Without secrets there is no signature."""
    headers = {ID: delivery_id, TIMESTAMP: str(timestamp)}
    signatures = " ".join(_signature(delivery_id, str(timestamp), body, secret) for secret in secrets)
    return {**headers, SIGNATURE: signatures} if signatures else headers


def verify(headers: Mapping[str, str], body: bytes, secrets: Iterable[bytes], now: float) -> str:
    """The delivery id of a message that is signed with one of the secrets, and not older than five minutes.

    ``headers``: by lower-case name. ``now``: seconds since 1970.

    Raises:
        SignatureError: it is not.
    """
    delivery_id, timestamp = headers.get(ID, ""), headers.get(TIMESTAMP, "")
    if not (timestamp.isascii() and timestamp.isdigit()):
        raise SignatureError(f"the header {TIMESTAMP} is missing or no number")
    given = headers.get(SIGNATURE, "").split()
    expected = [_signature(delivery_id, timestamp, body, secret) for secret in secrets]
    if not any(hmac.compare_digest(one.encode(), other.encode()) for one in given for other in expected):
        raise SignatureError(f"none of the {len(given)} signatures was made with a known secret")
    if abs(now - int(timestamp)) > TOLERANCE_SECONDS:
        raise SignatureError(f"the message was signed at {timestamp}, which is not now")
    return delivery_id


def _signature(delivery_id: str, timestamp: str, body: bytes, secret: bytes) -> str:
    content = b".".join((delivery_id.encode(), timestamp.encode(), body))
    return "v1," + base64.b64encode(hmac.new(secret, content, hashlib.sha256).digest()).decode()
