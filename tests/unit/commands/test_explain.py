"""`rsfilter explain`: the same verdict as the filter's, with every check."""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
from asyncio import StreamReader, StreamWriter
from pathlib import Path

import pytest
from support.config_sample import configuration
from support.rtr_cache import RtrCache

from rsfilter.cli import main
from rsfilter.commands.explain import data_of
from rsfilter.config.build import parse_config
from rsfilter.routing.model import OriginState, Prefix, Vrp
from rsfilter.routing.validation import origin

CONFIG = configuration()

TRUTH = {
    "hosts": [
        {
            "name": "hv1",
            "asn": 65001,
            "neighbors": ["198.51.100.1"],
            "prefixes": ["203.0.113.0/28", {"prefix": "10.0.0.0/8", "max_length": 24}],
        },
        {"name": "hv2", "asn": 65002, "prefixes": ["203.0.113.16/28"]},
        {
            "name": "hv3",
            "asn": 65100,
            "neighbors": ["198.51.100.3"],
            "prefixes": ["203.0.113.32/28"],
        },
    ]
}


@pytest.fixture
def site(tmp_path: Path) -> Path:
    (tmp_path / "rsfilter.toml").write_text(CONFIG)
    (tmp_path / "truth.json").write_text(json.dumps(TRUTH))
    return tmp_path


@pytest.mark.parametrize(
    ("words", "verdict", "reasons", "neighbor"),
    [
        (["203.0.113.1/32", "--asn", "65001"], "accepted", [], "198.51.100.1"),
        (["203.0.113.1", "--asn", "65001"], "accepted", [], "198.51.100.1"),
        (["203.0.113.17/32", "--asn", "65001"], "rejected", ["origin_invalid_asn"], "198.51.100.1"),
        (["10.0.0.1/32", "--asn", "65001"], "rejected", ["origin_invalid_length"], "198.51.100.1"),
        (["192.0.2.1/32", "--asn", "65001"], "rejected", ["origin_not_found"], "198.51.100.1"),
        (
            ["203.0.113.1/32", "--asn", "65001", "--neighbor", "198.51.100.9"],
            "rejected",
            ["neighbor_not_bound"],
            "198.51.100.9",
        ),
        (
            ["203.0.113.17/32", "--asn", "65002", "--neighbor", "192.0.2.77"],
            "rejected",
            ["neighbor_unknown"],
            "192.0.2.77",
        ),
        (
            ["203.0.113.0/28", "--asn", "65001"],
            "rejected",
            ["prefix_too_short"],
            "198.51.100.1",
        ),
        # our own AS: over iBGP a host's path is empty
        (["203.0.113.33/32", "--asn", "65100"], "rejected", ["as_path_missing"], "198.51.100.3"),
    ],
)
def test_explain_prints_the_verdict_and_its_reasons(
    site: Path,
    capsys: pytest.CaptureFixture[str],
    words: list[str],
    verdict: str,
    reasons: list[str],
    neighbor: str,
) -> None:
    code = main(["explain", "-c", str(site / "rsfilter.toml"), "--json", *words])
    output = json.loads(capsys.readouterr().out)
    assert code == 0
    assert (output["verdict"], output["reasons"], output["neighbor"]) == (
        verdict,
        reasons,
        neighbor,
    )
    found = [name for names in output["checks"].values() for name in names]
    assert sorted(found) == sorted(reasons)


def test_explain_names_the_vrps_that_matched(
    site: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["203.0.113.17/32", "--asn", "65001"]
    assert main(["explain", "-c", str(site / "rsfilter.toml"), *words]) == 0
    output = capsys.readouterr().out
    assert "203.0.113.17/32 from 198.51.100.1 (AS65001): rejected" in output
    assert "the prefix belongs to another ASN" in output
    assert "origin validation: Invalid by 203.0.113.16/28-32 AS65002\n" in output
    sha256 = hashlib.sha256((site / "truth.json").read_bytes()).hexdigest()
    assert f"data: truth unnamed (sha256 {sha256})\n" in output
    assert re.search("✗ +origin +origin_invalid_asn", output)
    assert re.search("✓ +as_path +ok", output)
    assert "to fix origin_invalid_asn: correct the truth or the ROA" in output


@pytest.mark.parametrize("prefix", ["203.0.113.1/24", "203.0.113.1/33"])
def test_what_is_malformed_is_not_validated(
    site: Path, capsys: pytest.CaptureFixture[str], prefix: str
) -> None:
    assert main(["explain", "-c", str(site / "rsfilter.toml"), prefix, "--asn", "65001"]) == 0
    assert "origin validation: not done\n" in capsys.readouterr().out


@pytest.mark.parametrize("form", [[], ["--json"]])
def test_without_an_answer_of_the_caches_there_is_no_verdict(
    site: Path, capsys: pytest.CaptureFixture[str], form: list[str]
) -> None:
    config = CONFIG.partition("[truth]")[0] + '[rtr]\ncaches = ["127.0.0.1:1"]\n'
    (site / "rsfilter.toml").write_text(config)
    words = ["203.0.113.1/32", "--asn", "65001", *form]
    assert main(["explain", "-c", str(site / "rsfilter.toml"), *words]) == 1
    out, err = capsys.readouterr()
    found = "no RTR cache answered: this is not what the running filter sees"
    if form:
        assert json.loads(out) == {"error": "failed", "detail": found}
    else:
        assert (out, err.splitlines()[-1]) == ("", f"rsfilter explain: {found}")


def test_where_truth_alone_decides_the_caches_need_not_answer(
    site: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (site / "rsfilter.toml").write_text(CONFIG + '[rtr]\ncaches = ["127.0.0.1:1"]\n')
    words = ["203.0.113.1/32", "--asn", "65001", "--json"]
    assert main(["explain", "-c", str(site / "rsfilter.toml"), *words]) == 0
    out, err = capsys.readouterr()
    assert json.loads(out)["verdict"] == "accepted"
    assert "no RTR cache answered" in err


async def test_the_preferred_cache_decides_however_late_it_answers(site: Path) -> None:
    """Data as in the running filter, once it has all of them."""
    guest = Prefix.parse("203.0.113.1/32")

    class LateCache(RtrCache):
        async def _serve(self, reader: StreamReader, writer: StreamWriter) -> None:
            await asyncio.sleep(0.2)
            await super()._serve(reader, writer)

    async with LateCache([Vrp(guest, 32, 1)]) as first, RtrCache([Vrp(guest, 32, 2)]) as second:
        text = CONFIG.partition("[truth]")[0] + f'[rtr]\ncaches = ["{first.address}", '
        config = parse_config(f'{text}"{second.address}"]\n', site / "rsfilter.toml")
        found = await data_of(config, None)
        assert found.provenance.rtr_cache == str(first.address)
        assert origin(guest, 1, found).state is OriginState.VALID
        await first.dies()
        found = await data_of(config, None)
        assert found.provenance.rtr_cache == str(second.address)


def test_a_neighbor_of_the_prefixs_family_is_assumed(
    site: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = CONFIG.replace('"198.51.100.0/24"', '"198.51.100.0/24", "2001:db8:1::/64"').replace(
        'local_address = "192.0.2.100"', 'local_address = ["192.0.2.100", "2001:db8::100"]'
    )
    (site / "rsfilter.toml").write_text(config)
    for prefix, neighbor in [("2001:db8:2::1", "2001:db8:1::"), ("192.0.2.1", "198.51.100.0")]:
        words = ["explain", "-c", str(site / "rsfilter.toml"), prefix, "--asn", "65002", "--json"]
        assert main(words) == 0
        assert json.loads(capsys.readouterr().out)["neighbor"] == neighbor


@pytest.mark.parametrize(
    ("asn", "neighbor", "verdict", "is_assumed"),
    [
        ("65001", "198.51.100.1", "rejected", False),  # takes host routes alone
        ("65002", "198.51.100.2", "accepted", False),
        ("65003", "198.51.100.64", "rejected", True),  # a range: somewhere in it
        ("65009", "198.51.100.128", "rejected", True),  # in no group of another ASN, then
    ],
)
def test_a_group_with_the_asn_decides_the_assumed_neighbor(
    site: Path,
    capsys: pytest.CaptureFixture[str],
    asn: str,
    neighbor: str,
    verdict: str,
    is_assumed: bool,
) -> None:
    groups = [
        ("a", "198.51.100.1", "asn = 65001"),
        ("b", "198.51.100.2", "asn = 65002\nipv4_lengths = [28]"),
        ("c", "198.51.100.64/26", "asn = 65003"),
        ("d", "198.51.100.128/25", ""),
    ]
    before, _, after = CONFIG.partition("[[hosts]]")
    sections = [
        f'[[hosts]]\nname = "{name}"\nneighbors = ["{place}"]\n{more}\n'
        for name, place, more in groups
    ]
    after = after[after.index("[[routers]]") :]
    (site / "rsfilter.toml").write_text(before + "".join(sections) + after)
    owned = {"prefix": "203.0.113.0/28", "max_length": 32}
    truth = {"hosts": [{"name": "hv2", "asn": 65002, "prefixes": [owned]}]}
    (site / "truth.json").write_text(json.dumps(truth))
    words = ["explain", "-c", str(site / "rsfilter.toml"), "203.0.113.0/28", "--asn", asn]
    assert main([*words, "--json"]) == 0
    output = json.loads(capsys.readouterr().out)
    assert (output["neighbor"], output["verdict"]) == (neighbor, verdict)
    assert output["neighbor_assumed"] is is_assumed
    assert main(words) == 0
    text = f"{neighbor} is assumed; name it with --neighbor\n"
    assert (text in capsys.readouterr().out) is is_assumed


@pytest.mark.parametrize("prefix", ["nonsense", "203.0.113.1/x", "2001:db8::%eth0"])
def test_a_prefix_that_is_none_is_a_usage_error(
    site: Path, capsys: pytest.CaptureFixture[str], prefix: str
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["explain", "-c", str(site / "rsfilter.toml"), prefix, "--asn", "65001"])
    assert ended.value.code == 2
    assert f"invalid prefix or address {prefix!r}" in capsys.readouterr().err
