"""Who is asking: development tokens, and signed ones that are forged, old, or for somebody else."""

import base64
import hmac
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa

from protocol.entities import Role
from worker.gateway.callers import DevelopmentReader
from worker.gateway.faults import Fault
from worker.gateway.readers import KeyFolderError, TokenReader, read_keys

SECRET = b"s" * 64
RSA_KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
ED_KEY = ed25519.Ed25519PrivateKey.generate()
ISSUER, AUDIENCE = "https://issuer", "gateway"
HOURS = 24 * 3600.0
"""Tokens are made when the tests are collected, and read when their turn comes."""
CLAIMS = {"sub": "ada", "role": "FACILITATOR", "iss": ISSUER, "aud": AUDIENCE}


def encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a key of each kind."""
    oct_key = {"kty": "oct", "k": encoded(SECRET), "kid": "hs"}
    rsa_key = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(RSA_KEY.public_key())) | {"kid": "rs"}
    ed_key = json.loads(jwt.algorithms.OKPAlgorithm.to_jwk(ED_KEY.public_key())) | {"kid": "ed"}
    (tmp_path / "one.json").write_text(json.dumps(oct_key))
    (tmp_path / "set.json").write_text(json.dumps({"keys": [rsa_key, ed_key]}))
    return tmp_path


@pytest.fixture
def reader(folder: Path) -> TokenReader:
    return TokenReader(read_keys(folder), issuer=ISSUER, audience=AUDIENCE, leeway_seconds=2)


def signed(key: Any = SECRET, algorithm: str | None = "HS256", kid: str | None = "hs", **changes: Any) -> str:
    claims = {**CLAIMS, "exp": time.time() + HOURS, **changes}
    claims = {name: value for name, value in claims.items() if value is not None}
    return jwt.encode(claims, key, algorithm, headers=None if kid is None else {"kid": kid})


def code_of(act: Callable[[], Any]) -> str:
    with pytest.raises(Fault) as caught:
        act()
    assert caught.value.status == 401
    return caught.value.code


@pytest.mark.parametrize(
    ("key", "algorithm", "kid"), ((SECRET, "HS256", "hs"), (RSA_KEY, "RS256", "rs"), (ED_KEY, "EdDSA", "ed"))
)
def test_a_token_of_each_kind_is_read_with_or_without_the_name_of_its_key(
    reader: TokenReader, key: Any, algorithm: str, kid: str
) -> None:
    for named in (kid, None):
        caller = reader.read(signed(key, algorithm, named))
        assert caller.role is Role.FACILITATOR
        assert caller.actor == {"role": "FACILITATOR", "user_key": "ada", "pseudonym_key": "ada"}


def test_claims_become_the_actor(reader: TokenReader) -> None:
    caller = reader.read(
        signed(
            user_key="u", pseudonym_key="p", group_key="g", group_name="red", group_role="LEADER",
            world_key="w", world_role="Sales", projects=["acme/demo"],
        )
    )  # fmt: skip
    assert caller.actor == {
        "role": "FACILITATOR", "user_key": "u", "pseudonym_key": "p", "group_key": "g",
        "group_mandate": "LEADER", "world_key": "w", "world_role": "Sales",
    }  # fmt: skip
    assert caller.group_name == "red"
    caller.enter("acme/demo")
    assert code_of(lambda: caller.enter("acme/other")) == "AUTHORIZATION_FAILURE"


def test_nobody_is_anonymous(reader: TokenReader) -> None:
    assert reader.read("").role is Role.ANONYMOUS
    assert DevelopmentReader().read("").role is Role.ANONYMOUS


PUBLIC = RSA_KEY.public_key().public_bytes(
    serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
)


def confused() -> str:
    """Signed with the public key of RS256 as if it were a secret of HS256."""
    parts = ({"alg": "HS256", "kid": "rs"}, {**CLAIMS, "exp": time.time() + HOURS})
    text = ".".join(encoded(json.dumps(part).encode()) for part in parts)
    return f"{text}.{encoded(hmac.digest(PUBLIC, text.encode(), 'sha256'))}"


@pytest.mark.parametrize(
    "token",
    (
        signed(b"t" * 64),
        signed(None, None),
        signed(None, None, "rs"),
        signed(SECRET, "HS256", "rs"),
        confused(),
        signed(SECRET, "HS384"),
        signed(RSA_KEY, "RS512", "rs"),
        signed(RSA_KEY, "RS256", "other"),
        signed(iss="https://other"),
        signed(aud="other"),
        signed(aud=None),
        signed(iss=None),
        signed(exp=None),
        signed(role=None),
        signed(role="KING"),
        signed(user_key="u" * 200),
        signed(projects="acme/demo"),
        signed(group_exp="soon"),
        signed(nbf=time.time() + HOURS),
        "a.b.c",
        "x",
    ),
)
def test_forged_and_foreign_tokens_are_refused(reader: TokenReader, token: str) -> None:
    assert code_of(lambda: reader.read(token)) == "AUTHENTICATION_INVALIDATED"


def test_an_old_token_and_an_old_membership_have_codes_of_their_own(reader: TokenReader) -> None:
    assert code_of(lambda: reader.read(signed(exp=time.time() - 60))) == "AUTHENTICATION_EXPIRED"
    old = signed(group_key="g", group_exp=time.time() - 60)
    assert code_of(lambda: reader.read(old)) == "AUTHENTICATION_GROUP_EXPIRED"


@pytest.mark.parametrize(
    ("text", "words"),
    (
        ("{", "no JWK or JWKS"),
        ("[]", "no JWK or JWKS"),
        ('{"kty": "oct", "k": "c2hvcnQ"}', "at least 32 bytes"),
        ('{"kty": "EC", "crv": "P-256"}', "HS256"),
        ('{"kty": "oct", "alg": "RS256", "k": "c2hvcnQ"}', "HS256"),
        ('{"keys": []}', "no keys"),
    ),
)
def test_keys_that_are_none_are_refused_with_their_file(tmp_path: Path, text: str, words: str) -> None:
    file = tmp_path / "keys.json"
    file.write_text(text)
    with pytest.raises(KeyFolderError, match=words) as caught:
        read_keys(file)
    assert str(file) in str(caught.value)


def test_two_keys_of_one_name_are_refused(folder: Path) -> None:
    (folder / "zwei.json").write_text((folder / "one.json").read_text())
    with pytest.raises(KeyFolderError, match="second key named 'hs'"):
        read_keys(folder)


def test_a_development_token_names_anybody() -> None:
    caller = DevelopmentReader().read("dev:LEADER:ada:Sales:w1")
    assert caller.actor == {
        "role": "LEADER", "user_key": "ada", "pseudonym_key": "ada", "world_role": "Sales", "world_key": "w1",
    }  # fmt: skip
    assert DevelopmentReader().read("dev").actor["is_system"] is True


def test_roles_are_a_ladder() -> None:
    caller = DevelopmentReader().read("dev:FACILITATOR:fay")
    caller.require(Role.FACILITATOR)
    caller.require(Role.PARTICIPANT)
    assert code_of(lambda: caller.require(Role.AUTHOR)) == "AUTHORIZATION_FAILURE"
