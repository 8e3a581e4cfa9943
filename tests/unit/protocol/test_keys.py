"""Key files: what is written, what is refused, and that no secret is told."""

import stat
from pathlib import Path

import pytest
import zmq
import zmq.auth

from protocol.keys import KeyFileError, public_path, read_key_pair, read_public_key, write_key_pair


def test_a_pair_is_read_back_by_us_and_by_pyzmq(tmp_path: Path) -> None:
    public = write_key_pair(tmp_path / "key")
    pair = read_key_pair(tmp_path / "key")
    assert pair.public == public == zmq.curve_public(pair.secret)
    assert read_public_key(tmp_path / "key.pub") == public
    assert zmq.auth.load_certificate(tmp_path / "key") == (pair.public, pair.secret)
    assert zmq.auth.load_certificate(tmp_path / "key.pub") == (public, None)


def test_the_secret_is_its_owners_and_never_shown(tmp_path: Path) -> None:
    write_key_pair(tmp_path / "key")
    pair = read_key_pair(tmp_path / "key")
    assert stat.S_IMODE((tmp_path / "key").stat().st_mode) == 0o600
    assert pair.secret.decode() not in repr(pair)
    assert pair.secret not in (tmp_path / "key.pub").read_bytes()


@pytest.mark.parametrize("there", ("key", "key.pub"))
def test_nothing_is_overwritten_and_no_half_of_a_pair_is_left(tmp_path: Path, there: str) -> None:
    (tmp_path / there).write_text("mine")
    with pytest.raises(KeyFileError, match="never overwritten"):
        write_key_pair(tmp_path / "key")
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [(there, "mine")]


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(KeyFileError, match=r"cannot write .*nowhere"):
        write_key_pair(tmp_path / "nowhere" / "key")


@pytest.mark.parametrize("mode", (0o640, 0o604, 0o660))
def test_a_secret_that_others_may_read_is_refused(tmp_path: Path, mode: int) -> None:
    write_key_pair(tmp_path / "key")
    (tmp_path / "key").chmod(mode)
    with pytest.raises(KeyFileError, match="chmod 600"):
        read_key_pair(tmp_path / "key")


def test_the_public_half_is_no_pair_and_the_secret_one_no_public_key(tmp_path: Path) -> None:
    write_key_pair(tmp_path / "key")
    public_path(tmp_path / "key").chmod(0o600)
    with pytest.raises(KeyFileError, match="no secret key"):
        read_key_pair(tmp_path / "key.pub")
    with pytest.raises(KeyFileError, match="holds a secret key"):
        read_public_key(tmp_path / "key")


def test_keys_that_do_not_belong_together_are_refused(tmp_path: Path) -> None:
    other, _ = zmq.curve_keypair()
    public = write_key_pair(tmp_path / "key")
    text = (tmp_path / "key").read_text().replace(public.decode(), other.decode())
    (tmp_path / "key").write_text(text)
    with pytest.raises(KeyFileError, match="not that of its secret key"):
        read_key_pair(tmp_path / "key")


@pytest.mark.parametrize(
    ("content", "words"),
    (
        (b"", "holds no public-key"),
        (b'public-key = "short"', "40 characters"),
        (b'public-key = "' + b"~" * 40 + b'"', "40 characters"),
        (b'public-key = "' + b"#" * 40 + b'"', "40 characters"),
        (b'public-key = "' + "\u00e9".encode() * 20 + b'"', "40 characters"),
        (b"\xff\x00\xfe", "holds no public-key"),
        (b"#" * 5000, "more than 4096 bytes"),
    ),
)
def test_what_is_no_key_is_named(tmp_path: Path, content: bytes, words: str) -> None:
    (tmp_path / "key.pub").write_bytes(content)
    with pytest.raises(KeyFileError, match=words):
        read_public_key(tmp_path / "key.pub")


def test_what_is_no_file_is_named(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "nothing"):
        with pytest.raises(KeyFileError, match=str(path)):
            read_public_key(path)
