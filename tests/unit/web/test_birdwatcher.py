"""The looking glass: each answer as the contract has it, and as Alice-LG reads it.

The schemas in fixtures/birdwatcher hold types and required members; `support.alice_rules` holds
what a reader makes of them.
"""

from __future__ import annotations

import asyncio
import json
import re
import time
import zlib
from base64 import b64encode
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
from aiohttp import ClientPayloadError
from hypothesis import given
from hypothesis import strategies as st
from support import alice_rules
from support.places import ROOT
from support.speaker import line, state
from support.web_bench import CONFIG, HV7, HV8, ROUTER, TOKEN, TRUTH, Bench, Client

from rsfilter.config.build import ConfigError, parse_config
from rsfilter.routing.adj_rib_in import Entry
from rsfilter.routing.model import (
    Address,
    AsPath,
    Attributes,
    OriginState,
    Prefix,
    Route,
    RouteKey,
    Segment,
    SegmentType,
    Validation,
    Verdict,
    VerdictKind,
)
from rsfilter.routing.reasons import REASONS
from rsfilter.web.birdwatcher import TTL_S, RouteEncoder, neighbor_id, neighbor_of
from rsfilter.web.endpoints import ENDPOINTS, LOOKING_GLASS
from rsfilter.web.responses import NDJSON

SCHEMAS = {
    path.name.partition(".")[0]: jsonschema_rs.validator_for(json.loads(path.read_text()))
    for path in (ROOT / "fixtures" / "birdwatcher").glob("*.schema.json")
}

SHOWN = f"{CONFIG}looking_glass = true\n"
WITH_ROUTERS = f"{SHOWN}looking_glass_routers = true\n"
OVER_IPV6 = "2001:db8::7"

ID7, ID8, ROUTER_ID = (neighbor_id(Address.parse(text)) for text in (HV7, HV8, ROUTER))

ANSWERS = {
    "status": "status",
    "protocols/bgp": "protocols-bgp",
    "protocols/short?uncached=true": "protocols-short",
    f"routes/protocol/{ID7}": "routes",
    f"routes/filtered/{ID7}": "routes",
    f"routes/noexport/{ID7}": "routes",
    f"routes/noexport/{ROUTER_ID}": "routes",
    "routes/table/master": "routes",
    "routes/table/master/filtered": "routes",
    "routes/table/master4": "routes",
    "routes/table/nothing": "routes",
}
"""Schema by path."""


def update(host: str, asn: int, *routes: str, path_id: int = 0, **attributes: Any) -> bytes:
    """An UPDATE with any attributes, as ExaBGP prints it."""
    given = {"origin": "igp", "as-path": {"0": {"element": "as-sequence", "value": [asn]}}}
    given |= {name.replace("_", "-"): value for name, value in attributes.items()}
    next_hop = str(given.pop("next-hop", host))
    nlri: list[dict[str, str]] = [{"nlri": route} for route in routes]
    if path_id:
        nlri = [{**each, "path-information": f"0.0.0.{path_id}"} for each in nlri]
    family = "ipv6 unicast" if ":" in routes[0] else "ipv4 unicast"
    message = {"update": {"attribute": given, "announce": {family: {next_hop: nlri}}}}
    return line("update", host, asn, f'"direction": "receive", "message": {json.dumps(message)}')


HOSTILE: dict[str, dict[str, Any]] = {
    "203.0.113.2/32": {"as_path": {"0": {"element": "as-set", "value": [65007, 65001]}}},
    "203.0.113.3/32": {"community": [[n, n] for n in range(200)]},
    "203.0.113.4/32": {"large_community": [[65100, 1101, 4], [65100, 1000, 1], [65001, 1, 2]]},
    "203.0.113.5/32": {
        "extended_community": [
            {"value": value}
            for value in (
                0x0002_FDE8_0000_0001,  # rt 65000:1
                0x0203_0001_0000_0005,  # ro of a four-octet ASN, 65536:5
                0x0102_C000_0201_0001,  # rt of an address
                0x4300_0000_0000_0002,  # origin validation state
                0xFFFF_FFFF_FFFF_FFFF,
            )
        ]
    },
    "203.0.113.6/32": {"origin": "nonsense", "med": 4294967295},
    "203.0.113.7/32": {"as_path": {}, "med": 0},
    "203.0.113.8/32": {"next_hop": OVER_IPV6},
    "203.0.113.9/32": {"next_hop": "192.0.2.99"},
    "203.0.113.10/32": {"error": 'a "quoted" </script> \u202e thing'},
    "203.0.113.17/33": {},
    "0.0.0.0/0": {},
}
"""Attributes by prefix: all that a host can send."""


class Site(Bench):
    """A filter with a looking glass: a host with routes of all kinds, one that is down, a
    router."""

    def __init__(self, directory: Path, config: str = WITH_ROUTERS, truth: Any = TRUTH) -> None:
        super().__init__(directory, config, truth)
        self.feed(state(ROUTER, 65200, "up"), state(HV7, 65007, "up"))
        self.feed(state(HV8, 65008, "up"), state(HV8, 65008, "down", "hold timer expired"))
        self.feed(update(HV7, 65007, "203.0.113.1/32"), update(HV7, 65007, "203.0.113.17/32"))

    def is_hostile(self) -> None:
        """The host sends what it can."""
        for prefix, attributes in HOSTILE.items():
            self.feed(update(HV7, 65007, prefix, **attributes))
        self.feed(state(HV8, 65008, "down", 'a "quoted" </script> \\u202e\\u0000 reason'))


async def get(client: Client, path: str, headers: dict[str, str] | None = None) -> bytes:
    """The body, whatever the status."""
    return await (await client.http.get(f"/birdwatcher/{path}", headers=headers)).read()


async def test_each_answer_is_as_the_contract_has_it(tmp_path: Path) -> None:
    site = Site(tmp_path)
    site.is_hostile()
    async with site.client() as client:
        for path, schema in ANSWERS.items():
            answer = await client.http.get(f"/birdwatcher/{path}")
            assert (answer.status, answer.content_type) == (200, "application/json"), path
            assert answer.headers["Cache-Control"] == "no-store"
            SCHEMAS[schema].validate(json.loads(await answer.read()))


def test_there_is_a_schema_for_each_endpoint() -> None:
    answered = {re.sub(r"\?.*|(?<=/)(ipv4_\w+|master\w*|nothing)", "", path) for path in ANSWERS}
    known = {re.sub(r"\{\w+\}", "", e.path.removeprefix("/birdwatcher/")) for e in LOOKING_GLASS}
    assert answered == known
    assert {e.method for e in LOOKING_GLASS} == {"GET"}


# What a reader sees -------------------------------------------------------------------------------


async def test_a_reader_sees_what_our_own_api_has(tmp_path: Path) -> None:
    site = Site(tmp_path)
    site.is_hostile()
    async with site.client() as client:
        own = (await client.get(f"/api/v1/routes?neighbor={HV7}&limit=1000"))["routes"]
        received, rejected = alice_rules.page_of_neighbor(
            await get(client, f"routes/protocol/{ID7}"), await get(client, f"routes/filtered/{ID7}")
        )
        seen = {each.id: each for each in alice_rules.neighbors(await get(client, "protocols/bgp"))}
        states = alice_rules.neighbor_states(await get(client, "protocols/short"))
    accepted = {route["prefix"] for route in own if route["verdict"] == "accepted"}
    assert {route.network for route in received} == accepted
    assert {route.network for route in rejected} == {r["prefix"] for r in own} - accepted
    assert len(received) + len(rejected) == len(own)
    up, down = seen[ID7], seen[ID8]
    assert (up.state, up.accepted, up.filtered) == ("up", len(accepted), len(own) - len(accepted))
    assert states == {key: each.state for key, each in seen.items()}
    assert up.channels["ipv4"]["imported"] == up.channels["ipv4"]["preferred"] == len(accepted)
    assert (up.address, up.asn, up.description) == (HV7, 65007, "hv7, group hypervisors")
    assert down.state == "down"
    assert down.last_error == "hold timer expired"
    assert seen[ROUTER_ID].exported == len(accepted)
    assert all(r.neighbor in seen for r in (*received, *rejected))  # else the search drops them


async def test_times_are_as_the_rendered_layouts_have_them(tmp_path: Path) -> None:
    before = datetime.now(UTC) - timedelta(seconds=2)  # times are cut to seconds
    site = Site(tmp_path)
    async with site.client() as client:
        shown = alice_rules.status(await get(client, "status"))
        neighbors = alice_rules.neighbors(await get(client, "protocols/bgp"))
        meta, (route,) = alice_rules.routes(await get(client, "routes/table/master"))
    after = datetime.now(UTC) + timedelta(seconds=2)
    times = [shown[name] for name in ("server_time", "last_reboot", "last_reconfig")]
    times += [route.age, *(each.since for each in neighbors)]
    assert all(before < each < after for each in times), times
    assert before < meta.ttl - timedelta(seconds=TTL_S) < after


async def test_the_last_change_is_that_of_configuration_or_truth(tmp_path: Path) -> None:
    site = Site(tmp_path)
    async with site.client() as client:
        for name in ("configured", "truth_loaded"):
            setattr(site.running, name, time.time() + 3600)
            shown = alice_rules.status(await get(client, "status"))
            assert shown["last_reconfig"] - shown["server_time"] > timedelta(minutes=59)
            setattr(site.running, name, 0.0)


async def test_the_age_of_a_route_is_when_it_arrived(tmp_path: Path) -> None:
    site = Site(tmp_path)
    site.api._sample(0.0)  # once a second
    later = site.running.start + 3600
    site.api.glass._arrivals.note(1 << 20, later)  # all that follows arrives an hour later
    site.feed(update(HV7, 65007, "203.0.113.2/32"))
    async with site.client() as client:
        _, found = alice_rules.routes(await get(client, f"routes/protocol/{ID7}"))
    first, second = sorted(found, key=lambda route: route.network)
    assert timedelta(minutes=59) < second.age - first.age < timedelta(minutes=61)


async def test_a_foreign_next_hop_does_not_hide_a_route(tmp_path: Path) -> None:
    """Readers cut the filtered routes to those whose gateway is the first accepted one's."""
    site = Site(tmp_path)
    site.feed(update(HV7, 65007, "203.0.113.9/32", next_hop="192.0.2.99"))
    async with site.client() as client:
        _, rejected = alice_rules.page_of_neighbor(
            await get(client, f"routes/protocol/{ID7}"), await get(client, f"routes/filtered/{ID7}")
        )
    (foreign,) = (route for route in rejected if route.network == "203.0.113.9/32")
    assert (foreign.gateway, foreign.next_hop) == (HV7, "192.0.2.99")
    assert [65100, 1101, 8] in foreign.large


async def test_a_host_cannot_imitate_a_label(tmp_path: Path) -> None:
    site = Site(tmp_path)
    forged = [[65100, 1101, 13], [65100, 1000, 4], [64512, 1101, 13]]
    site.feed(update(HV7, 65007, "203.0.113.2/32", large_community=forged))
    async with site.client() as client:
        _, found = alice_rules.routes(await get(client, f"routes/protocol/{ID7}"))
    large = {route.network: route.large for route in found}
    assert large["203.0.113.2/32"] == [[64512, 1101, 13], [65100, 1000, 1]]


async def test_labels_are_for_readers_only(tmp_path: Path) -> None:
    """No command to ExaBGP has one, and to read them causes no command."""
    site = Site(tmp_path)
    site.is_hostile()
    async with site.client() as client:
        for path in ANSWERS:
            await get(client, path)
    assert site.follow() == []
    table = site.filter.engine.ribs_out["leaves"]
    answered = [attributes for paths in table.routes.values() for _, attributes in paths]
    assert answered
    assert not [c for attributes in answered for c in attributes.large_communities if c[0] == 65100]


async def test_held_routes_are_filtered_ones_with_the_guards_label(tmp_path: Path) -> None:
    site = Site(tmp_path, f"{WITH_ROUTERS}[guard]\nmin_loss = 1\n")
    site.loads({"hosts": [{**TRUTH["hosts"][0], "prefixes": ["192.0.2.0/28"]}]})  # type: ignore[dict-item]
    async with site.client() as client:
        _, rejected = alice_rules.routes(await get(client, f"routes/filtered/{ID7}"))
        found = alice_rules.status(await get(client, "status"))["message"]
    (held,) = (route for route in rejected if route.network == "203.0.113.1/32")
    assert held.large[0] == [65100, 1101, 2010]
    assert found == "in service; the guard holds 1 route"


async def test_stale_routes_are_accepted_ones_with_their_community(tmp_path: Path) -> None:
    site = Site(tmp_path)
    site.feed(state(HV7, 65007, "down", "hold timer expired"))
    async with site.client() as client:
        _, (route,) = alice_rules.routes(await get(client, f"routes/protocol/{ID7}"))
        seen = {each.id: each for each in alice_rules.neighbors(await get(client, "protocols/bgp"))}
    assert route.communities == [[65535, 6]]
    assert (seen[ID7].state, seen[ID7].accepted) == ("down", 1)
    assert seen[ID7].last_error == "hold timer expired; 1 route kept as stale"


async def test_a_host_far_beyond_its_limit_is_reported(tmp_path: Path) -> None:
    site = Site(tmp_path, WITH_ROUTERS.replace("max_prefixes = 1000000", "max_prefixes = 1"))
    for block in range(11):
        site.feed(update(HV7, 65007, *(f"10.{block}.0.{n}/32" for n in range(100))))
    async with site.client() as client:
        seen = {each.id: each for each in alice_rules.neighbors(await get(client, "protocols/bgp"))}
    assert seen[ID7].last_error.startswith("so many routes beyond max_prefixes")


async def test_the_message_names_problems_without_their_details(tmp_path: Path) -> None:
    site = Site(tmp_path)
    site.filter.drain(True, "alice from 192.0.2.7", site.now)
    site.follow()
    async with site.client() as client:
        assert (
            alice_rules.status(await get(client, "status"))["message"] == "not in service: draining"
        )


async def test_one_network_is_never_in_both_lists_of_a_neighbor(tmp_path: Path) -> None:
    """A host with ADD-PATH may have an accepted and a rejected path: the accepted one is shown."""
    site = Site(tmp_path)
    site.feed(
        update(HV7, 65007, "203.0.113.2/32", path_id=1),
        update(HV7, 65007, "203.0.113.2/32", path_id=2, next_hop="192.0.2.99"),
        update(HV7, 65007, "203.0.113.3/32", path_id=2, next_hop="192.0.2.99"),
    )
    async with site.client() as client:
        received, rejected = alice_rules.page_of_neighbor(
            await get(client, f"routes/protocol/{ID7}"), await get(client, f"routes/filtered/{ID7}")
        )
    assert [route.network for route in received] == ["203.0.113.1/32", "203.0.113.2/32"]
    assert [route.network for route in rejected] == ["203.0.113.17/32", "203.0.113.3/32"]


async def test_a_verdict_that_changes_meanwhile_leaves_the_list(tmp_path: Path) -> None:
    """The rest of a list is of its moment: no accepted route is shown as filtered."""
    site = Site(tmp_path)
    prefixes = [f"10.0.0.{n}/32" for n in range(200)]
    site.feed(update(HV7, 65007, *prefixes))
    pause, rests = site.api.reader.pause, 0

    async def change_at_the_second_rest() -> None:
        nonlocal rests
        rests += 1
        if rests == 2:
            site.loads({"roas": [{"prefix": "10.0.0.0/8", "maxLength": 32, "asn": 65007}]})
        await pause()

    site.api.reader.pause = change_at_the_second_rest  # type: ignore[method-assign]
    async with site.client() as client:
        _, found = alice_rules.routes(await get(client, f"routes/filtered/{ID7}"))
    assert 0 < len(found) < 200
    assert all([65100, 1000, 1] not in route.large for route in found)


async def test_what_a_router_does_not_get_has_its_reason(tmp_path: Path) -> None:
    site = Site(tmp_path)
    site.feed(update(HV7, 65007, "203.0.113.2/32", community=[[65535, 65282]]))
    site.loads(
        {"roas": [{"prefix": "203.0.113.0/28", "maxLength": 32, "asn": n} for n in (65007, 65008)]}
    )
    site.feed(state(HV8, 65008, "up"), update(HV8, 65008, "203.0.113.1/32", med=5))
    async with site.client() as client:
        _, kept = alice_rules.routes(await get(client, f"routes/noexport/{ROUTER_ID}"))
        _, of_host = alice_rules.routes(await get(client, f"routes/noexport/{ID7}"))
    found = {(route.network, route.neighbor): route.large[-1] for route in kept}
    assert found == {
        ("203.0.113.2/32", ID7): [65100, 1102, 1],
        ("203.0.113.1/32", ID8): [65100, 1102, 2],
    }
    assert of_host == []


async def test_tables_have_their_families(tmp_path: Path) -> None:
    site = Site(
        tmp_path, WITH_ROUTERS.replace('"198.51.100.0/24"]', '"198.51.100.0/24", "2001:db8::/121"]')
    )
    site.feed(state(OVER_IPV6, 65007, "up"), update(OVER_IPV6, 65007, "2001:db8:aa::1/128"))
    async with site.client() as client:
        found = {}
        for name in ("master", "master4", "master6", "T1"):
            both = [await get(client, f"routes/table/{name}{end}") for end in ("", "/filtered")]
            found[name] = sorted(r.network for body in both for r in alice_rules.routes(body)[1])
    v4, v6 = ["203.0.113.1/32", "203.0.113.17/32"], ["2001:db8:aa::1/128"]
    assert found == {"master": sorted(v6 + v4), "master4": v4, "master6": v6, "T1": []}


async def test_routers_are_not_shown_unless_that_is_wanted(tmp_path: Path) -> None:
    async with Site(tmp_path, SHOWN).client() as client:
        seen = alice_rules.neighbors(await get(client, "protocols/bgp"))
        assert {each.id for each in seen} == {ID7, ID8}
        with pytest.raises(alice_rules.ShownError):
            alice_rules.routes(await get(client, f"routes/noexport/{ROUTER_ID}"))


async def test_hosts_that_truth_expects_are_down(tmp_path: Path) -> None:
    bench = Bench(tmp_path, SHOWN)
    async with bench.client() as client:
        seen = alice_rules.neighbors(await get(client, "protocols/bgp"))
        states = alice_rules.neighbor_states(await get(client, "protocols/short"))
    assert [(each.state, each.last_error) for each in seen] == [
        ("down", "truth expects this host")
    ] * 2
    assert states == {ID7: "down", ID8: "down"}


# Errors -------------------------------------------------------------------------------------------

ERRORS = ["nothing", "routes/protocol/hv1", "routes/filtered/ipv4_1_2_3_4_5", "routes/table/x?y=z"]


def reading(path: str) -> Callable[[bytes], object]:
    """Read the answer of a path as the looking glass does."""
    return alice_rules.routes if path.startswith("routes/") else alice_rules.neighbors


@pytest.mark.parametrize("config", [SHOWN, CONFIG], ids=["on", "off"])
async def test_an_error_is_one_to_the_reader(tmp_path: Path, config: str) -> None:
    """Readers ignore the HTTP status, and would take JSON with an error for no routes."""
    async with Bench(tmp_path, f'{config}read_token_file = "token"\n').client() as client:
        for path in (*ANSWERS, *ERRORS):
            answer = await client.http.get(f"/birdwatcher/{path}")
            assert answer.status == 401
            with pytest.raises(alice_rules.ShownError) as shown:
                reading(path)(await answer.read())
            if not path.startswith("routes/"):
                assert str(shown.value).startswith("bird error: unauthorized: this needs the token")


async def test_what_is_not_there_is_an_error(tmp_path: Path) -> None:
    async with Site(tmp_path).client() as client:
        for path in ERRORS:
            with pytest.raises(alice_rules.ShownError):
                reading(path)(await get(client, path))


@pytest.mark.parametrize("encoding", ["identity", "gzip"])
async def test_an_answer_that_breaks_off_is_not_taken_for_a_short_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, encoding: str
) -> None:
    site = Site(tmp_path)
    site.feed(*(update(HV7, 65007, f"203.0.113.{n}/32") for n in range(200)))
    encode, encoded = RouteEncoder.encode, 0

    def fail_late(*args: Any, **kwargs: Any) -> bytes:
        nonlocal encoded
        encoded += 1
        if encoded > 150:
            raise RuntimeError("the disk is on fire")
        return encode(*args, **kwargs)

    monkeypatch.setattr(RouteEncoder, "encode", fail_late)
    async with site.client() as client:
        with pytest.raises(ClientPayloadError):
            await get(client, "routes/table/master/filtered", {"Accept-Encoding": encoding})
    assert encoded > 150


# Transport ----------------------------------------------------------------------------------------


async def test_the_read_token_holds_here_too(tmp_path: Path) -> None:
    """Readers send the one in their URL, http://alice:TOKEN@..., as a password."""
    basic = {
        given: "Basic " + b64encode(f"alice:{given}".encode()).decode() for given in (TOKEN, "x")
    }
    async with Site(tmp_path, f'{SHOWN}read_token_file = "token"\n').client() as client:
        for given, status in ((basic[TOKEN], 200), (f"Bearer {TOKEN}", 200), (basic["x"], 401)):
            headers = {"Authorization": given}
            answer = await client.http.get("/birdwatcher/status", headers=headers)
            assert answer.status == status, given


async def test_hosts_and_origins_are_checked_here_too(tmp_path: Path) -> None:
    async with Site(tmp_path).client() as client:
        for name, value, status in (
            ("Host", "rs9.example.net", 421),
            ("Sec-Fetch-Site", "cross-site", 403),
            ("Origin", "https://other.example", 403),
        ):
            answer = await client.http.get(
                "/birdwatcher/routes/table/master", headers={name: value}
            )
            assert answer.status == status, name


async def test_gzip_is_for_those_who_take_it(tmp_path: Path) -> None:
    site = Site(tmp_path)
    site.feed(*(update(HV7, 65007, f"198.51.100.{n}/32") for n in range(200)))
    async with (
        site.client() as client,
        client.http.session.get(
            client.http.make_url("/birdwatcher/routes/table/master/filtered"),
            headers={"Accept-Encoding": "gzip"},
            auto_decompress=False,
        ) as answer,
    ):
        packed = await answer.read()
        plain = await get(client, "routes/table/master/filtered", {"Accept-Encoding": "identity"})
    bodies = plain, zlib.decompress(packed, wbits=31)
    listed, unpacked = ([r.network for r in alice_rules.routes(body)[1]] for body in bodies)
    assert len(listed) == 201
    assert unpacked == listed


@pytest.mark.parametrize("path", ["/birdwatcher/routes/table/master", "/api/v1/routes"])
async def test_headers_alone_have_no_body(tmp_path: Path, path: str) -> None:
    """A body would be taken for the next answer of the connection."""
    headers = {"Accept": NDJSON, "Accept-Encoding": "gzip"}
    async with Site(tmp_path).client() as client:
        for method in ("HEAD", "GET", "HEAD", "GET"):
            answer = await client.http.request(method, path, headers=headers)
            assert answer.status == 200
            assert bool(await answer.read()) == (method == "GET")


async def test_many_readers_cost_one_count(tmp_path: Path) -> None:
    site = Site(tmp_path)
    counted, count = 0, site.api.glass._count

    async def counting() -> Any:
        nonlocal counted
        counted += 1
        return await count()

    site.api.glass._tally._make = counting
    async with site.client() as client:
        first, *others = await asyncio.gather(*(get(client, "protocols/bgp") for _ in range(5)))
        again = json.loads(await get(client, "protocols/bgp"))
    assert counted == 1
    assert again["api"]["result_from_cache"] is True
    assert json.loads(first)["api"]["result_from_cache"] is False
    counts = [json.loads(body)["protocols"][ID7]["routes"] for body in (first, *others)]
    assert counts == [again["protocols"][ID7]["routes"]] * 5
    made = datetime.fromisoformat(again["api"]["cache_status"]["cached_at"]["date"]).timestamp()
    assert abs(datetime.fromisoformat(again["ttl"]).timestamp() - made - TTL_S) < 1
    assert made <= time.time()


# Configuration and names --------------------------------------------------------------------------


async def test_the_looking_glass_is_off_unless_configured(tmp_path: Path) -> None:
    async with Bench(tmp_path).client() as client:
        for endpoint in LOOKING_GLASS:
            assert (await client.http.get(endpoint.path)).status == 404
    assert not [endpoint for endpoint in ENDPOINTS if "birdwatcher" in endpoint.path]


def test_routers_alone_cannot_be_shown(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="looking_glass_routers: needs looking_glass = true"):
        parse_config(f"{CONFIG}looking_glass_routers = true\n", tmp_path / "rsfilter.toml")


U32 = st.integers(0, (1 << 32) - 1)
ATTRIBUTES = st.builds(
    Attributes,
    as_path=st.builds(
        AsPath,
        st.lists(
            st.builds(Segment, st.sampled_from(SegmentType), st.lists(U32, max_size=80).map(tuple)),
            max_size=3,
        ).map(tuple),
    ),
    origin=st.sampled_from(["igp", "egp", "incomplete", "?"]),
    med=st.none() | U32,
    communities=st.lists(st.tuples(st.integers(0, 65535), st.integers(0, 65535))).map(tuple),
    large_communities=st.lists(st.tuples(U32, U32, U32)).map(tuple),
    extended_communities=st.lists(st.integers(0, (1 << 64) - 1)).map(tuple),
)


@given(ATTRIBUTES, st.lists(st.sampled_from(list(REASONS)), unique=True).map(tuple))
def test_whatever_a_host_sends_is_readable(
    attributes: Attributes, reasons: tuple[str, ...]
) -> None:
    neighbor = Address.parse(HV7)
    route = Route.of(RouteKey(neighbor, Prefix.parse("10.0.0.1/32"), 0), 65007, attributes, ())
    verdict = Verdict(VerdictKind.REJECTED, reasons, Validation(OriginState.INVALID))
    encoded = RouteEncoder(65100, lambda _: 0.0).encode(Entry(route, verdict, True))
    body = json.dumps(ENVELOPE | {"routes": [json.loads(encoded)]}).encode()
    SCHEMAS["routes"].validate(json.loads(body))
    _, (seen,) = alice_rules.routes(body)
    assert seen.as_path == list(attributes.as_path.asns[:64])
    assert len(seen.extended) == len(attributes.extended_communities[:64])
    shown = [number for asn, kind, number in seen.large if (asn, kind) == (65100, 1101)]
    assert shown == list(dict.fromkeys(REASONS[name].euro_ix for name in reasons))


ENVELOPE: dict[str, Any] = {
    "api": {
        "Version": "rsfilter",
        "result_from_cache": False,
        "cache_status": {"cached_at": {"date": "2026-12-01T01:02:03Z"}},
    },
    "ttl": "2026-12-01T01:02:33Z",
}

ADDRESSES = st.one_of(
    st.builds(Address, st.just(4), st.integers(0, (1 << 32) - 1)),
    st.builds(Address, st.just(6), st.integers(0, (1 << 128) - 1)),
)


@given(ADDRESSES)
def test_an_id_stands_for_one_neighbor(neighbor: Address) -> None:
    """A name goes into a path unchanged."""
    text = neighbor_id(neighbor)
    assert re.fullmatch(r"[A-Za-z0-9_]{1,80}", text)
    assert neighbor_of(text) == neighbor


@given(st.text("ipv46_.:/%0123af", max_size=50))
def test_any_other_text_stands_for_none(text: str) -> None:
    found = neighbor_of(text)
    assert found is None or neighbor_id(found) == text
