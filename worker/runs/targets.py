"""Which web addresses may be told of runs: judged by what they say, and by the address that is connected to."""

import ipaddress
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_PORTS: Final = {"http": 80, "https": 443}
_HOST: Final = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_.-]{0,251}[A-Za-z0-9_])?")
_TRANSLATED: Final = ipaddress.IPv6Network("64:ff9b::/96")
_TRANSLATED_HERE: Final = ipaddress.IPv6Network("64:ff9b:1::/48")
_COMPATIBLE: Final = ipaddress.IPv6Network("::/96")
_SPECIAL: Final = tuple(
    map(ipaddress.IPv4Network, ("168.63.129.16/32", "192.0.0.0/24", "192.88.99.0/24", "100.64.0.0/10"))
)
"""Not public, whatever the ``ipaddress`` of some Python says: a cloud's platform channel, protocol assignments (another
cloud's metadata among them), the former relays of 6to4, what carriers share."""
_IPV4_PARTS: Final = 4
_IPV4_PART: Final = re.compile(r"0[xX][0-9A-Fa-f]*|[0-9]+")


class TargetRefusedError(ValueError):
    """A web address must not be told of anything; the message says why, without its query."""


@dataclass(frozen=True, slots=True)
class WebAddress:
    """A web address in its parts. ``path`` includes the query and begins with a slash."""

    scheme: str
    host: str
    port: int
    path: str

    @property
    def origin(self) -> str:
        """Who is asked: scheme, host and port."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}"

    @property
    def shown(self) -> str:
        """For people: without the query, which may be a secret."""
        return self.origin + self.path.partition("?")[0]


def web_address(url: str) -> WebAddress:
    """The parts of an http or https address.

    Raises:
        TargetRefusedError: it is none, or has parts that have no meaning here.
    """
    if not (url.isascii() and url.isprintable()) or " " in url or "\\" in url:
        raise TargetRefusedError("a web address consists of printable ASCII characters; escape others")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise TargetRefusedError(f"no web address: {error}") from error
    if parts.scheme not in _PORTS:
        raise TargetRefusedError(f"a web address begins with http:// or https://, not {parts.scheme[:20]!r}")
    if "@" in parts.netloc:
        raise TargetRefusedError("a web address must not contain a name or a password")
    if "#" in url:
        raise TargetRefusedError("a web address must not contain a fragment")
    host = (parts.hostname or "").removesuffix(".")
    if not _HOST.fullmatch(host) and _literal(host) is None:
        raise TargetRefusedError("a web address needs the name or the address of a host")
    if port == 0:
        raise TargetRefusedError("port 0 is no port")
    path = parts.path or "/"
    query = f"?{parts.query}" if parts.query else ""
    return WebAddress(parts.scheme, host, port or _PORTS[parts.scheme], path + query)


def judge_host(address: WebAddress, allowed: Sequence[Network]) -> None:
    """Refuse a host that by its very words is none to be told; a name is judged when it has been resolved.

    Raises:
        TargetRefusedError: naming host and reason.
    """
    if address.host == "localhost" or address.host.endswith(".localhost"):
        judge_address(ipaddress.IPv4Address("127.0.0.1"), allowed, of=address.host)
    literal = _literal(address.host)
    if literal is not None:
        judge_address(literal, allowed, of=address.host)


def judge_address(address: Address, allowed: Sequence[Network], *, of: str) -> None:
    """Refuse an address that is neither public nor ``allowed``; ``of``: the host that has it.

    Raises:
        TargetRefusedError: naming host and address.
    """
    inner = _inner(address)
    if any(inner in network for network in allowed if network.version == inner.version):
        return
    if _is_public(inner):
        return
    told = of if of == str(inner) else f"{of} ({inner})"
    raise TargetRefusedError(
        f"{told} is not a public address; an operator can allow its network with delivery_networks"
    )


def _is_public(address: Address) -> bool:
    if isinstance(address, ipaddress.IPv4Address):
        if any(address in network for network in _SPECIAL):
            return False
    elif address.is_site_local or address in _TRANSLATED_HERE:
        return False
    return address.is_global and not (address.is_multicast or address.is_reserved or address.is_unspecified)


def _inner(address: Address) -> Address:
    """The IPv4 address that an IPv6 address stands for, where it does."""
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    if address.sixtofour is not None:
        return address.sixtofour
    if address in _TRANSLATED or (address in _COMPATIBLE and int(address) > 1):
        return ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF)
    return address


def _literal(host: str) -> Address | None:
    """The address that a host is, in any spelling that resolvers take for one; None for a name."""
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return _legacy_ipv4(host)


def _legacy_ipv4(host: str) -> Address | None:
    """``127.1``, ``0x7f.0.0.1``, ``2130706433``: one to four numbers, the last of which fills what is left."""
    words = host.split(".")
    if len(words) > _IPV4_PARTS or not all(_IPV4_PART.fullmatch(word) for word in words):
        return None
    try:
        *firsts, last = (_number(word) for word in words)
    except ValueError:
        return None
    if any(number > 0xFF for number in firsts) or last >= 1 << 8 * (_IPV4_PARTS - len(firsts)):
        return None
    value = last
    for place, number in enumerate(firsts):
        value |= number << 8 * (_IPV4_PARTS - 1 - place)
    return ipaddress.IPv4Address(value)


def _number(word: str) -> int:
    if word[:2].lower() == "0x":
        return int(word[2:] or "0", 16)
    return int(word, 8 if word.startswith("0") else 10)
