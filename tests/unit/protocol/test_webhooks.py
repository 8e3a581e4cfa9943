"""Signatures of what is sent to web addresses."""

import base64

import pytest

from protocol.webhooks import ID, SIGNATURE, TIMESTAMP, SignatureError, secret_of, signed_headers, verify

OLD = secret_of("whsec_" + base64.b64encode(b"o" * 32).decode())
NEW = secret_of("whsec_" + base64.b64encode(b"n" * 32).decode())
NOW = 1_780_000_000


def test_a_signature_is_that_of_the_published_specification() -> None:
    # The example of the Standard Webhooks specification.
    secret = secret_of("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    body = b'{"test": 2432232314}'

    headers = signed_headers("msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, body, [secret])

    assert headers[SIGNATURE] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_what_is_signed_is_verified_with_either_secret_during_a_rotation() -> None:
    headers = signed_headers("d.1", NOW, b"{}", [OLD, NEW])

    assert [verify(headers, b"{}", [secret], NOW) for secret in (OLD, NEW)] == ["d.1", "d.1"]
    assert SIGNATURE not in signed_headers("d.1", NOW, b"{}", [])


@pytest.mark.parametrize(
    ("changed", "body", "now"),
    (
        ({ID: "d.2"}, b"{}", NOW),
        ({TIMESTAMP: str(NOW + 1)}, b"{}", NOW),
        ({TIMESTAMP: "soon"}, b"{}", NOW),
        ({SIGNATURE: ""}, b"{}", NOW),
        ({}, b"{ }", NOW),
        ({}, b"{}", NOW + 301),
        ({}, b"{}", NOW - 301),
    ),
)
def test_what_was_changed_or_is_old_is_refused(changed: dict[str, str], body: bytes, now: int) -> None:
    headers = signed_headers("d.1", NOW, b"{}", [NEW]) | changed

    with pytest.raises(SignatureError):
        verify(headers, body, [NEW], now)


def test_another_secret_does_not_verify() -> None:
    with pytest.raises(SignatureError, match="known secret"):
        verify(signed_headers("d.1", NOW, b"{}", [NEW]), b"{}", [OLD], NOW)


@pytest.mark.parametrize(
    "text",
    (
        "",
        "whsec_",
        "whsec_!!",
        base64.b64encode(b"n" * 32).decode(),
        "whsec_" + base64.b64encode(b"n" * 23).decode(),
    ),
)
def test_what_is_no_secret_is_refused_without_being_told(text: str) -> None:
    with pytest.raises(ValueError, match="secret") as refused:
        secret_of(text)

    assert not text or text not in str(refused.value)
