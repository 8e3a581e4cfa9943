"""Which web addresses may be told of runs."""

import ipaddress

import pytest

from worker.runs.targets import TargetRefusedError, judge_address, judge_host, web_address

INWARD = (
    "127.0.0.1", "127.1", "127.255.255.254", "0x7f.1", "0x7f000001", "2130706433", "017700000001", "0177.0.0.01",
    "10.0.0.1", "172.16.0.1", "192.168.1.1", "100.64.0.1", "100.100.100.200", "169.254.169.254", "168.63.129.16",
    "192.0.0.192", "0.0.0.0", "0", "224.0.0.1", "240.0.0.1", "255.255.255.255", "198.18.0.1",
    "[::1]", "[::]", "[::ffff:127.0.0.1]", "[::ffff:10.0.0.1]", "[::ffff:a9fe:a9fe]", "[::7f00:1]", "[fe80::1]",
    "[fc00::1]", "[fd00:ec2::254]", "[fec0::1]", "[ff02::1]", "[64:ff9b::7f00:1]", "[64:ff9b::a9fe:a9fe]",
    "[64:ff9b:1::1]", "[2002:7f00:1::]", "[2002:a9fe:a9fe::1]", "[2001:0:1::1]", "[2001:db8::1]",
    "localhost", "LOCALHOST", "localhost.", "a.localhost", "127.0.0.1.",
)  # fmt: skip


@pytest.mark.parametrize("host", INWARD)
def test_an_address_of_this_machine_or_its_networks_is_refused(host: str) -> None:
    with pytest.raises(TargetRefusedError, match=r"not a public address.*delivery_networks"):
        judge_host(web_address(f"http://{host}:8080/hook"), [])


@pytest.mark.parametrize(
    "host", ("8.8.8.8", "134744072", "[2606:4700::1111]", "[64:ff9b::808:808]", "[::ffff:8.8.8.8]", "[2002:808:808::]")
)  # fmt: skip
def test_a_public_address_is_not(host: str) -> None:
    judge_host(web_address(f"https://{host}/hook"), [])


@pytest.mark.parametrize("host", ("hooks.example.org", "08.1.1.1", "1.2.3.4.5", "0x7g"))
def test_a_name_is_judged_when_it_was_resolved(host: str) -> None:
    judge_host(web_address(f"https://{host}/hook"), [])


def test_a_network_can_be_allowed_and_no_other_is() -> None:
    allowed = [ipaddress.ip_network("127.0.0.0/8"), ipaddress.ip_network("fd00::/8")]

    judge_host(web_address("http://127.0.0.1/"), allowed)
    judge_host(web_address("http://[::ffff:127.0.0.1]/"), allowed)
    judge_host(web_address("http://[fd00::1]/"), allowed)
    with pytest.raises(TargetRefusedError):
        judge_host(web_address("http://10.0.0.1/"), allowed)


def test_what_a_name_resolves_to_is_told_with_the_name() -> None:
    with pytest.raises(TargetRefusedError, match=r"inside\.example \(10\.0\.0\.1\)"):
        judge_address(ipaddress.ip_address("10.0.0.1"), [], of="inside.example")


@pytest.mark.parametrize(
    "url",
    (
        "ftp://example.org/", "example.org", "http:///x", "http://", "http://user:word@example.org/",
        "http://user@example.org/", "http://example.org/#part", "http://example.org:0/", "http://example.org:99999/",
        "http://exämple.org/", "http://example.org/ x", "http://example.org\\@127.0.0.1/", "http://exa mple.org/",
        "http://example.org/\n", "http://[::1/", "file:///etc/passwd", "http://-/", "http://%31%32%37.0.0.1/",
    ),
)  # fmt: skip
def test_what_is_no_plain_web_address_is_refused(url: str) -> None:
    with pytest.raises(TargetRefusedError):
        web_address(url)


def test_a_query_is_sent_and_not_shown() -> None:
    address = web_address("https://example.org:8443/hook/a?token=secret&x=1")

    assert address.path == "/hook/a?token=secret&x=1"
    assert address.shown == "https://example.org:8443/hook/a"
    assert web_address("http://[2606:4700::1]").origin == "http://[2606:4700::1]:80"
