"""Signed tokens: a library verifies them, with keys that each have one algorithm only."""

import json
import math
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import jwt
from jwt import PyJWK

from worker.gateway.callers import Caller, DevelopmentReader, Reader, denied, make_caller
from worker.gateway.settings import GatewaySettings

_ALGORITHMS: Final = {"oct": "HS256", "RSA": "RS256", "OKP": "EdDSA"}
_LEAST_SECRET_BYTES: Final = 32
_ACTOR: Final = {
    "user_key": "user_key",
    "pseudonym_key": "pseudonym_key",
    "role": "role",
    "group_key": "group_key",
    "group_role": "group_mandate",
    "world_key": "world_key",
    "world_role": "world_role",
}
"""Which claim says what of the actor."""


class KeyFolderError(Exception):
    """The keys of tokens cannot be used; the message names the file and the reason."""


class TokenReader:
    """Reads JWTs. ``keys`` by ``kid``; a token without one is tried with the only key there is of its algorithm."""

    def __init__(
        self, keys: Mapping[str, PyJWK], *, issuer: str, audience: str, leeway_seconds: float
    ) -> None:
        self._keys = dict(keys)
        self._issuer = issuer
        self._audience = audience
        self._leeway_seconds = leeway_seconds

    def read(self, token: str) -> Caller:
        """Who the token was given to.

        Raises:
            Fault: 401 AUTHENTICATION_EXPIRED, AUTHENTICATION_GROUP_EXPIRED or AUTHENTICATION_INVALIDATED.
        """
        if not token:
            return make_caller({"role": "ANONYMOUS"})
        try:
            key = self._key_of(jwt.get_unverified_header(token))
            claims: dict[str, Any] = jwt.decode(
                token,
                key,
                algorithms=[str(key.algorithm_name)],
                issuer=self._issuer,
                audience=self._audience,
                leeway=self._leeway_seconds,
                options={"require": ["exp", "iss", "aud", "role"]},
            )
            group_ends = self._judge_group(claims)
        except jwt.ExpiredSignatureError as error:
            raise denied("the token has expired", "AUTHENTICATION_EXPIRED") from error
        except jwt.PyJWTError as error:
            raise denied(f"the token is not good: {error}", "AUTHENTICATION_INVALIDATED") from error
        return _caller(claims, min(float(claims["exp"]), group_ends) + self._leeway_seconds)

    def _key_of(self, header: Mapping[str, Any]) -> PyJWK:
        if "kid" in header:
            found = [key for kid, key in self._keys.items() if kid == header["kid"]]
        else:
            found = [key for key in self._keys.values() if key.algorithm_name == header.get("alg")]
        if len(found) != 1:
            raise jwt.InvalidKeyError("no key is named that is known here")
        return found[0]

    def _judge_group(self, claims: Mapping[str, Any]) -> float:
        """When the membership in a group ends, which may be before the token does."""
        ends = claims.get("group_exp")
        if ends is None:
            return math.inf
        if isinstance(ends, bool) or not isinstance(ends, int | float):
            raise denied("token: group_exp: is no number", "AUTHENTICATION_INVALIDATED")
        if time.time() > ends + self._leeway_seconds:
            raise denied("the membership in the group has expired", "AUTHENTICATION_GROUP_EXPIRED")
        return float(ends)


def _caller(claims: Mapping[str, Any], expires_at: float) -> Caller:
    actor = {name: claims.get(claim) for claim, name in _ACTOR.items()}
    actor["user_key"] = actor["user_key"] or claims.get("sub")
    actor["pseudonym_key"] = actor["pseudonym_key"] or actor["user_key"]
    projects = claims.get("projects")
    if projects is not None and not (
        isinstance(projects, list) and all(isinstance(one, str) for one in projects)
    ):
        raise denied("token: projects: is no list of account/project", "AUTHENTICATION_INVALIDATED")
    group_name = claims.get("group_name")
    return make_caller(
        actor,
        projects=None if projects is None else frozenset(projects),
        group_name=group_name if isinstance(group_name, str) else None,
        expires_at=expires_at,
    )


def make_reader(settings: GatewaySettings) -> Reader:
    """The reader that the settings ask for.

    Raises:
        KeyFolderError: the keys cannot be read.
    """
    if settings.auth == "development":
        return DevelopmentReader()
    return TokenReader(
        read_keys(Path(settings.token_keys)),
        issuer=settings.token_issuer,
        audience=settings.token_audience,
        leeway_seconds=settings.token_leeway_seconds,
    )


def read_keys(path: Path) -> dict[str, PyJWK]:
    """The keys in a JWK or JWKS file, or in all files ``*.json`` of a folder, by ``kid``.

    Raises:
        KeyFolderError: there is none, two have one name, or one is of another kind than HS256, RS256 or EdDSA.
    """
    files = sorted(path.glob("*.json")) if path.is_dir() else [path]
    keys: dict[str, PyJWK] = {}
    for file in files:
        try:
            found = json.loads(file.read_text())
            members = found.get("keys", [found])
            for member in members:
                key = _key(member)
                name = str(member.get("kid", file.stem))
                if name in keys:
                    raise KeyFolderError(f"{file}: a second key named {name!r}")
                keys[name] = key
        except (OSError, ValueError, TypeError, KeyError, AttributeError, jwt.PyJWTError) as error:
            raise KeyFolderError(f"{file}: no JWK or JWKS: {error}") from error
    if not keys:
        raise KeyFolderError(f"{path}: there are no keys (*.json) in it")
    return keys


def _key(member: Mapping[str, Any]) -> PyJWK:
    algorithm = _ALGORITHMS.get(str(member.get("kty")))
    if algorithm is None or member.get("alg", algorithm) != algorithm:
        raise ValueError("a key is oct (HS256), RSA (RS256) or OKP (EdDSA)")
    key = PyJWK(dict(member), algorithm=algorithm)
    if algorithm == "HS256" and len(key.key) < _LEAST_SECRET_BYTES:
        raise ValueError(f"an HS256 secret has at least {_LEAST_SECRET_BYTES} bytes")
    return key
