"""CURVE keys in files, in the format of ZeroMQ certificates, which czmq and pyzmq read as well.

A pair is two files: ``NAME`` holds both keys and is its owner's alone (mode 0600), ``NAME.pub`` the public one.
"""

import os
import stat
import struct
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import zmq
from zmq.utils import z85

PUBLIC_SUFFIX: Final = ".pub"
OWNER_ONLY: Final = 0o600
KEY_CHARACTERS: Final = 40
"""Of one key: 32 bytes in Z85."""
LARGEST_FILE_BYTES: Final = 4096


class KeyFileError(Exception):
    """A key file is missing, unreadable, or not what it should be; the message names it and what to do."""


@dataclass(frozen=True, slots=True)
class KeyPair:
    """Both keys, in Z85."""

    public: bytes
    secret: bytes = field(repr=False)


def write_key_pair(path: Path) -> bytes:
    """Make a pair: ``path`` and ``path.pub``. Returns the public key, in Z85.

    Raises:
        KeyFileError: one of the files is there, or cannot be written; neither is left behind.
    """
    public, secret = (key.decode() for key in zmq.curve_keypair())
    told = public_path(path)
    lines = f'curve\n    public-key = "{public}"\n'
    _write_new(
        path, f'# A secret: it stays with its owner.\n{lines}    secret-key = "{secret}"\n', OWNER_ONLY
    )
    try:
        _write_new(told, f"# A public key: it may be shown to anybody.\n{lines}", 0o644)
    except KeyFileError:
        path.unlink()
        raise
    return public.encode()


def public_path(path: Path) -> Path:
    """Where the public half of a pair is."""
    return path.with_name(path.name + PUBLIC_SUFFIX)


def read_key_pair(path: Path) -> KeyPair:
    """Both keys of a secret file.

    Raises:
        KeyFileError: it is not there, others may read it, or it holds no pair.
    """
    values = _read(path, private=True)
    if "secret-key" not in values:
        raise KeyFileError(f"{path} holds no secret key; make a pair with `model-worker keygen FILE`")
    pair = KeyPair(_key(path, values, "public-key"), _key(path, values, "secret-key"))
    if zmq.curve_public(pair.secret) != pair.public:
        raise KeyFileError(f"{path}: its public key is not that of its secret key")
    return pair


def read_public_key(path: Path) -> bytes:
    """The key of a public file, in Z85.

    Raises:
        KeyFileError: it is not there, holds no public key, or a secret one.
    """
    values = _read(path, private=False)
    if "secret-key" in values:
        raise KeyFileError(f"{path} holds a secret key: give the public half, {path.name}{PUBLIC_SUFFIX}")
    return _key(path, values, "public-key")


def _write_new(path: Path, text: str, mode: int) -> None:
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    except FileExistsError as error:
        raise KeyFileError(
            f"{path} is there already, and a key is never overwritten: choose another"
        ) from error
    except OSError as error:
        raise KeyFileError(f"cannot write {path}: {error.strerror}") from error
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(text)
    except OSError as error:
        path.unlink()
        raise KeyFileError(f"cannot write {path}: {error.strerror}") from error


def _read(path: Path, *, private: bool) -> dict[str, str]:
    try:
        # What is no file, a pipe for example, must not hold the reader up.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as file:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                raise KeyFileError(f"{path} is no file")
            if private and status.st_mode & 0o077:
                raise KeyFileError(f"{path} can be read by others: `chmod 600 {path}`")
            content = file.read(LARGEST_FILE_BYTES + 1)
    except OSError as error:
        raise KeyFileError(f"cannot read {path}: {error.strerror}") from error
    if len(content) > LARGEST_FILE_BYTES:
        raise KeyFileError(f"{path} is no key file: it has more than {LARGEST_FILE_BYTES} bytes")
    return _values(content.decode("utf-8", "replace"))


def _values(text: str) -> dict[str, str]:
    values: dict[str, str] = {}
    for line in text.splitlines():
        name, equals, value = line.strip().partition("=")
        if equals and not name.startswith("#"):
            values[name.strip()] = value.strip(" \t\"'")
    return values


def _key(path: Path, values: dict[str, str], name: str) -> bytes:
    if name not in values:
        raise KeyFileError(f"{path} holds no {name}; make a pair with `model-worker keygen FILE`")
    key = values[name].encode()
    try:
        usable = len(key) == KEY_CHARACTERS and z85.encode(z85.decode(key)) == key
    except (KeyError, ValueError, struct.error):
        usable = False
    if not usable:
        raise KeyFileError(f"{path}: its {name} is no key of {KEY_CHARACTERS} characters (Z85)")
    return key
