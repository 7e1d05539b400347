"""`/api/v1/validity` in the shape of Routinator: values by hand, from RFC 6811 and its code."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.core_samples import data, prefix, vrp
from support.oracle import rfc6811
from support.web_bench import Bench

from rsfilter.routing.model import Prefix
from rsfilter.routing.validation import Data, DataUnavailableError, Mode, Source, origin
from rsfilter.web.handlers.validity import answer

MATCHED = "At least one VRP Matches the Route Prefix"
BAD_AS = "At least one VRP Covers the Route Prefix, but no VRP ASN matches the route origin ASN"
BAD_LENGTH = (
    "At least one VRP Covers the Route Prefix, but the Route Prefix length is greater than the "
    "maximum length allowed by VRP(s) matching this route origin ASN"
)
NOTHING = "No VRP Covers the Route Prefix"


def validated(asn: int, where: str, by: Data) -> Any:
    """The `validity` part of the answer, as JSON has it."""
    return msgspec.to_builtins(answer(asn, prefix(where), by))["validity"]


def test_of_many_vrps_for_one_prefix_only_some_are_named() -> None:
    hostile = data([f"203.0.113.0/24-32 AS{asn}" for asn in range(1, 3001)])
    validity = validated(2999, "203.0.113.1/32", hostile)
    assert (validity["state"], len(lists(validity)[0])) == ("valid", 1)
    assert len(lists(validity)[1]) == 1000  # the first of the set, which are others' ASNs


def lists(validity: Any) -> list[list[str]]:
    return [
        [f"{v['prefix']}-{v['max_length']} {v['asn']}" for v in validity["VRPs"][name]]
        for name in ("matched", "unmatched_as", "unmatched_length")
    ]


TRUTH = ("203.0.113.0/28-32 AS65007", "203.0.113.0/24 AS65008", "198.51.100.0/24 AS0")

CASES = [
    # asn, prefix, state, reason, description, [matched, unmatched_as, unmatched_length]
    (
        65007, "203.0.113.1/32", "valid", None, MATCHED,
        [["203.0.113.0/28-32 AS65007"], [], ["203.0.113.0/24-24 AS65008"]],
    ),
    (
        65008, "203.0.113.0/24", "valid", None, MATCHED,
        [["203.0.113.0/24-24 AS65008"], [], []],
    ),
    (
        65009, "203.0.113.1/32", "invalid", "as", BAD_AS,
        [[], ["203.0.113.0/28-32 AS65007"], ["203.0.113.0/24-24 AS65008"]],
    ),
    (
        65008, "203.0.113.128/25", "invalid", "length", BAD_LENGTH,
        [[], [], ["203.0.113.0/24-24 AS65008"]],
    ),
    (65007, "192.0.2.0/24", "not-found", None, NOTHING, [[], [], []]),
    (
        0, "198.51.100.0/24", "invalid", "as", BAD_AS,
        [[], ["198.51.100.0/24-24 AS0"], []],
    ),
]  # fmt: skip


@pytest.mark.parametrize(("asn", "where", "state", "reason", "description", "vrps"), CASES)
def test_the_answer_has_routinators_words(
    asn: int, where: str, state: str, reason: str | None, description: str, vrps: list[list[str]]
) -> None:
    found = validated(asn, where, data(TRUTH))
    assert found["state"] == state
    assert found.get("reason") == reason
    assert ("reason" in found) == (state == "invalid")
    assert found["description"] == description
    assert lists(found) == vrps


MODES = [
    # mode, truth, rtr, state, [matched, unmatched_as, unmatched_length] of 203.0.113.1/32 AS65007
    (Mode.AUTHORITATIVE, ["203.0.113.0/24-32 AS65008"], ["203.0.113.0/24-32 AS65007"], "invalid",
     [[], ["203.0.113.0/24-32 AS65008"], []]),
    (Mode.AUTHORITATIVE, ["192.0.2.0/24 AS1"], ["203.0.113.0/24-32 AS65007"], "valid",
     [["203.0.113.0/24-32 AS65007"], [], []]),
    (Mode.UNION, ["203.0.113.0/24-32 AS65008"], ["203.0.113.0/24-32 AS65007"], "valid",
     [["203.0.113.0/24-32 AS65007"], ["203.0.113.0/24-32 AS65008"], []]),
    (Mode.UNION, ["192.0.2.0/24 AS1"], ["203.0.113.0/24 AS65007"], "invalid",
     [[], [], ["203.0.113.0/24-24 AS65007"]]),
    (Mode.BOTH, ["203.0.113.0/24-32 AS65008"], ["203.0.113.0/24-32 AS65007"], "invalid",
     [[], ["203.0.113.0/24-32 AS65008"], []]),
    (Mode.BOTH, ["192.0.2.0/24 AS1"], ["203.0.113.0/24-32 AS65007"], "not-found", [[], [], []]),
    (Mode.BOTH, ["203.0.113.0/24-32 AS65007"], ["203.0.113.0/25-32 AS65007"], "valid",
     [["203.0.113.0/24-32 AS65007", "203.0.113.0/25-32 AS65007"], [], []]),
]  # fmt: skip


@pytest.mark.parametrize(("mode", "truth", "rtr", "state", "vrps"), MODES)
def test_the_source_that_decides_is_shown(
    mode: Mode, truth: list[str], rtr: list[str], state: str, vrps: list[list[str]]
) -> None:
    found = validated(65007, "203.0.113.1/32", data(truth, rtr, mode))
    assert (found["state"], lists(found)) == (state, vrps)


def test_without_data_there_is_no_answer() -> None:
    with pytest.raises(DataUnavailableError):
        answer(65007, prefix("203.0.113.1/32"), Data(truth_source=Source.UNAVAILABLE))


VRPS = st.lists(
    st.builds(
        lambda length, extra, asn: vrp(f"10.0.0.0/{length}-{length + extra} AS{asn}"),
        st.integers(8, 24),
        st.integers(0, 8),
        st.integers(0, 3),
    ),
    max_size=6,
)
NAMES = {"valid": "Valid", "invalid": "Invalid", "not-found": "NotFound"}


@given(VRPS, VRPS, st.sampled_from(Mode), st.integers(0, 3), st.integers(8, 32))
def test_the_lists_agree_with_the_state(
    truth: list[Any], rtr: list[Any], mode: Mode, asn: int, length: int
) -> None:
    where = Prefix.parse(f"10.0.0.0/{length}")
    by = data(map(str, truth), map(str, rtr), mode)
    found = answer(asn, where, by).validity
    assert NAMES[found.state] == origin(where, asn, by).state.value
    assert bool(found.VRPs.matched) == (found.state == "valid")
    if found.state == "not-found":
        assert not found.VRPs.unmatched_as
        assert not found.VRPs.unmatched_length
    if mode is Mode.UNION:
        assert NAMES[found.state] == rfc6811([*truth, *rtr], where, asn).value


PATHS = ["AS65007/203.0.113.1/32", "65007/203.0.113.1%2F32", "as65007/203.0.113.1"]


@pytest.mark.parametrize("path", PATHS)
async def test_the_whole_answer(tmp_path: Path, path: str) -> None:
    bench = Bench(tmp_path)
    async with bench.client() as client:
        response = await client.get(f"/api/v1/validity/{path}")
    assert len(response.pop("generatedTime")) == len("2026-11-23T09:00:00Z")
    assert response == {
        "validated_route": {
            "route": {"origin_asn": "AS65007", "prefix": "203.0.113.1/32"},
            "validity": {
                "state": "valid",
                "description": MATCHED,
                "VRPs": {
                    "matched": [{"asn": "AS65007", "prefix": "203.0.113.0/28", "max_length": "32"}],
                    "unmatched_as": [],
                    "unmatched_length": [],
                },
            },
        }
    }


async def test_host_bits_name_the_network(tmp_path: Path) -> None:
    async with Bench(tmp_path).client() as client:
        response = await client.get("/api/v1/validity/65007/203.0.113.1/28")
    assert response["validated_route"]["route"]["prefix"] == "203.0.113.0/28"


@pytest.mark.parametrize(
    "path",
    ["x/203.0.113.1/32", "4294967296/::/0", "000000000009999999999/::/0", "1/x/32", "1/::/129"],
)
async def test_what_is_no_route_is_refused(tmp_path: Path, path: str) -> None:
    async with Bench(tmp_path).client() as client:
        assert (await client.get(f"/api/v1/validity/{path}", 400))["error"] == "bad_request"


async def test_before_there_are_data_it_is_unavailable(tmp_path: Path) -> None:
    async with Bench(tmp_path, truth=None).client() as client:
        response = await client.get("/api/v1/validity/65007/203.0.113.1/32", 503)
    assert response["error"] == "data_unavailable"
