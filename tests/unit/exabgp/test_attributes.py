"""The "attribute" object: every dialect, every way to be wrong."""

from __future__ import annotations

from typing import Any

import pytest
from support.captures_expected import CONFED_SEQUENCE, CONFED_SET, SEQUENCE, SET, announce, path
from support.exabgp_lines import PEER, attributes_of, line_of

from rsfilter.exabgp import attributes
from rsfilter.exabgp.decode import decode
from rsfilter.routing.model import AsPath, Attributes, SegmentType


@pytest.mark.parametrize(
    ("attribute", "want"),
    [
        ({"origin": "egp"}, {"origin": "egp"}),
        ({"origin": "invalid"}, {"origin": "incomplete", "malformed": "origin invalid"}),
        ({"origin": []}, {"origin": "incomplete", "malformed": "origin invalid"}),
        ({"origin": None}, {"origin": "incomplete", "malformed": "origin missing"}),
        ({"med": 4294967295}, {"med": 4294967295}),
        ({"med": 0}, {"med": 0}),
        ({"med": 4294967296}, {"malformed": "med invalid"}),
        ({"med": -1}, {"malformed": "med invalid"}),
        ({"med": True}, {"malformed": "med invalid"}),
        ({"med": 1.0}, {"malformed": "med invalid"}),
        ({"med": "1"}, {"malformed": "med invalid"}),
        ({"community": [[65535, 65535], [0, 0]]}, {"communities": ((65535, 65535), (0, 0))}),
        ({"community": [[65536, 0]]}, {"malformed": "community invalid"}),
        ({"community": [[1, -1]]}, {"malformed": "community invalid"}),
        ({"community": [[1, 2, 3]]}, {"malformed": "community invalid"}),
        ({"community": ["65005:1"]}, {"malformed": "community invalid"}),
        ({"community": ["ab"]}, {"malformed": "community invalid"}),
        ({"community": {"1": 2}}, {"malformed": "community invalid"}),
        ({"large-community": [[4294967295, 0, 1]]}, {"large_communities": ((4294967295, 0, 1),)}),
        ({"large-community": [[4294967296, 0, 1]]}, {"malformed": "large-community invalid"}),
        ({"large-community": [[1, 2]]}, {"malformed": "large-community invalid"}),
        (
            {"extended-community": [{"value": 2**64 - 1, "string": "x"}]},
            {"extended_communities": (2**64 - 1,)},
        ),
        ({"extended-community": [{"value": 2**64}]}, {"malformed": "extended-community invalid"}),
        ({"extended-community": [{"string": "x"}]}, {"malformed": "extended-community invalid"}),
        ({"extended-community": [7]}, {"malformed": "extended-community invalid"}),
        ({"error": "discard"}, {}),
        ({"error": "panic"}, {"malformed": "error not understood"}),
        ({"attribute-0x63-0xE0": "0xdeadbeef", "aigp": "0x0a", "pmsi": "x"}, {}),
        (
            {"origin": "?", "med": -1, "community": 3},
            {
                "origin": "incomplete",
                "malformed": "origin invalid, med invalid, community invalid",
            },
        ),
    ],
    ids=str,
)
def test_an_attribute_is_decoded(attribute: dict[str, Any], want: dict[str, Any]) -> None:
    assert attributes_of(attribute) == Attributes(as_path=AsPath.sequence(65005), **want)


def segments(*pairs: tuple[str, Any]) -> dict[str, Any]:
    return {str(n): {"element": kind, "value": asns} for n, (kind, asns) in enumerate(pairs)}


@pytest.mark.parametrize(
    ("as_path", "want"),
    [
        (segments(), path()),
        (segments(("as-set", [1, 2])), path((SET, [1, 2]))),
        (segments(("as-confed-sequence", [1])), path((CONFED_SEQUENCE, [1]))),
        (segments(("as-confed-set", [1])), path((CONFED_SET, [1]))),
        (segments(("as-tomorrow", [1])), path((SegmentType.UNKNOWN, [1]))),
        (segments(("as-sequence", []), ("as-set", [])), path((SEQUENCE, []), (SET, []))),
        (
            # Twelve segments: "10" and "11" come after "9", not after "1".
            segments(*(("as-sequence", [n]) for n in range(12))),
            path(*((SEQUENCE, [n]) for n in range(12))),
        ),
        ([65005], path((SEQUENCE, [65005]))),
        ([], path()),
        (segments(("as-sequence", [4294967295])), path((SEQUENCE, [4294967295]))),
    ],
    ids=str,
)
def test_an_as_path_is_decoded(as_path: Any, want: AsPath) -> None:
    got = attributes_of({"as-path": as_path})
    assert (got.as_path, got.malformed) == (want, "")


@pytest.mark.parametrize(
    "as_path",
    [
        segments(("as-sequence", [4294967296])),
        segments(("as-sequence", [-1])),
        segments(("as-sequence", [True])),
        segments(("as-sequence", [1.5])),
        segments(("as-sequence", ["65005"])),
        segments(("as-sequence", 65005)),
        segments((["as-sequence"], [65005])),  # type: ignore[arg-type]
        {"first": {"element": "as-sequence", "value": [65005]}},
        {"0": [65005]},
        {"0": {"element": "as-sequence"}},
        [[65005]],
        "65005",
        65005,
        None,
    ],
    ids=str,
)
def test_as_path_that_is_none(as_path: Any) -> None:
    got = attributes_of({"as-path": as_path})
    assert (got.as_path, got.malformed) == (path(), "as-path invalid")


def test_4_2_path_of_all_four_kinds_puts_the_confederation_first() -> None:
    flat = {
        "as-path": [1, 2],
        "as-set": [3],
        "confederation-path": [4],
        "confederation-set": [5],
    }
    assert attributes_of(flat).as_path == path(
        (CONFED_SEQUENCE, [4]), (CONFED_SET, [5]), (SEQUENCE, [1, 2]), (SET, [3])
    )


def test_endless_path_is_kept_up_to_a_4096_octet_message_and_then_cut() -> None:
    longest = [65005] * attributes.MAX_PATH_ASNS
    whole = attributes_of({"as-path": segments(("as-sequence", longest))})
    assert (whole.as_path, whole.malformed) == (AsPath.sequence(*longest), "")
    cut = attributes_of({"as-path": segments(("as-set", [1]), ("as-sequence", longest))})
    assert cut.malformed == "as-path too long"
    assert cut.as_path == path((SET, [1]), (SEQUENCE, longest[1:]))._replace(omitted=1)


def test_communities_past_one_message_are_left_out() -> None:
    most = [[65005, n] for n in range(attributes.MAX_COMMUNITY_OCTETS // 4)]
    full = attributes_of({"community": most})
    assert (len(full.communities), full.malformed) == (960, "")
    over = attributes_of({"community": most, "large-community": [[1, 2, 3]]})
    assert over == Attributes(AsPath.sequence(65005), malformed="communities too many")


def test_routes_with_the_same_attributes_share_one_object() -> None:
    first, second = (attributes_of({"med": 77}) for _ in range(2))
    assert first is second


@pytest.mark.parametrize(
    ("text", "malformed_as"),
    [
        # What ExaBGP prints when one attribute is discarded and another spoils the UPDATE.
        ('"origin": "igp", "error": "discard", "error": "treat-as-withdraw"', "treat-as-withdraw"),
        ('"origin": "igp", "error": "treat-as-withdraw", "error": "discard"', "treat-as-withdraw"),
        ('"origin": "igp", "aggregator": "1:192.0.2.1", "aggregator": "2:192.0.2.1"', ""),
        ('"origin": "igp", "origin": "igp"', "origin listed twice"),
        ('"origin": "igp", "med": 1, "m\\u0065d": 2', "med listed twice"),
        ('"origin": "igp", "as-path": [ 1 ], "as-path": [ 65005 ]', "as-path listed twice"),
    ],
)
def test_attribute_that_is_printed_twice(text: str, malformed_as: str) -> None:
    assert attributes.parse(f"{{ {text} }}".encode()).malformed == malformed_as


def test_spoiled_update_is_a_rejected_announcement_of_all_it_names() -> None:
    message = {
        "update": {
            "attribute": {"origin": "igp", "error": "treat-as-withdraw"},
            "announce": {"ipv4 unicast": {"192.0.2.1": [{"nlri": "10.0.0.1/32"}]}},
            "withdraw": {"ipv4 unicast": [{"nlri": "10.0.0.2/32"}, {"nlri": "10.0.0.1/32"}]},
        }
    }
    got = decode(line_of(message))
    assert got == announce(
        PEER, "10.0.0.1/32", "10.0.0.2/32", hop=(), as_path=path(), malformed="treat-as-withdraw"
    )
