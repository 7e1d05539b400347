"""Messages of the hosts of the bench, octet by octet (RFC 4271, 4724, 7313)."""

from __future__ import annotations

import pytest
from support.bgp_hosts import Host, open_, refresh, updates

MARKER = "ff" * 16
END_OF_RIB = f"{MARKER} 0017 02 0000 0000"


def octets(text: str) -> bytes:
    return bytes.fromhex(text)


@pytest.mark.parametrize(
    ("asn", "short", "long"), [(65001, "fde9", "0000fde9"), (4_200_000_001, "5ba0", "fa56ea01")]
)
def test_an_open_message(asn: int, short: str, long: str) -> None:
    assert open_(Host("127.64.0.1", asn, [])) == octets(
        f"{MARKER} 002f 01 04 {short} 00f0 7f400001 1202 10 0104 00010001 0200 4104 {long} 4600"
    )


def test_routes_and_end_of_rib() -> None:
    host = Host("127.64.0.1", 65001, ["10.0.0.1/32", "10.1.0.0/16", "0.0.0.0/0"])
    assert updates(host) == octets(
        f"{MARKER} 0034 02 0000 0014"
        "40010100 400206 0201 0000fde9 400304 7f400001"
        "20 0a000001 10 0a01 00"
        f"{END_OF_RIB}"
    )


def test_a_host_without_routes_sends_end_of_rib() -> None:
    assert updates(Host("127.64.0.1", 65001, [])) == octets(END_OF_RIB)


def test_a_thousand_routes_are_two_messages() -> None:
    sent = updates(Host("127.64.0.1", 65001, [f"10.0.{n >> 8}.{n & 255}/32" for n in range(1000)]))
    lengths = []
    while sent:
        length = int.from_bytes(sent[16:18])
        lengths.append(length)
        sent = sent[length:]
    assert lengths == [23 + 20 + 700 * 5, 23 + 20 + 300 * 5, 23]


def test_a_refresh_is_marked_as_rfc_7313_has_it() -> None:
    assert refresh(2) == octets(f"{MARKER} 0017 05 0001 02 01")
