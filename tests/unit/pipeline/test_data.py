"""Truth and caches together: when data are in force, and the changes that are reported."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.core_samples import prefixes, vrps
from support.places import ROOT

from rsfilter.config.build import parse_config
from rsfilter.pipeline import data
from rsfilter.pipeline.data import Sources
from rsfilter.routing.bindings import NO_BINDINGS
from rsfilter.routing.effects import Provenance
from rsfilter.routing.events import DataReplaced
from rsfilter.routing.model import OriginState, Prefix, Vrp
from rsfilter.routing.validation import Data, DataUnavailableError, Mode, Source, origin
from rsfilter.rpki.truth import Truth, parse_truth
from rsfilter.rpki.vrps import RtrSnapshot, VrpSet

MINE = "203.0.113.0/28-32 AS65007"
OTHERS = "203.0.113.16/28-32 AS65008"
SIX = "2001:db8:aa::/64-128 AS65007"


def truth(*texts: str, revision: str = "", hosts: tuple[dict[str, Any], ...] = ()) -> Truth:
    """A truth file of VRPs; or, with `hosts`, one of hosts."""
    roas = [_roa(vrp) for vrp in vrps(*texts)]
    document: dict[str, Any] = {"hosts": hosts} if hosts else {"roas": roas}
    if revision:
        document["metadata"] = {"revision": revision}
    return parse_truth(json.dumps(document).encode(), "truth.json", 0.0)


def _roa(vrp: Vrp) -> dict[str, object]:
    return {"prefix": str(vrp.prefix), "maxLength": vrp.max_length, "asn": vrp.asn}


def slurm(*filtered: str) -> Truth:
    """A truth of nothing but filters."""
    document = {
        "slurmVersion": 1,
        "validationOutputFilters": {
            "prefixFilters": [{"prefix": text} for text in filtered],
            "bgpsecFilters": [],
        },
        "locallyAddedAssertions": {"prefixAssertions": [], "bgpsecAssertions": []},
    }
    return parse_truth(json.dumps(document).encode(), "slurm.json", 0.0)


def host(name: str, asn: int, *neighbors: str, owned: str = "203.0.113.0/28") -> dict[str, Any]:
    entry: dict[str, Any] = {"name": name, "asn": asn, "prefixes": [owned]}
    return entry | ({"neighbors": list(neighbors)} if neighbors else {})


def rtr(*texts: str, serial: int = 1) -> RtrSnapshot:
    return RtrSnapshot(vrps(*texts), "192.0.2.50:8282", 7, serial, 0.0)


def both(**options: Any) -> Sources:
    defaults = {
        "mode": Mode.AUTHORITATIVE,
        "has_truth": True,
        "has_rtr": True,
        "reject_expired": False,
    }
    return Sources(**{**defaults, **options})


def started(**options: Any) -> Sources:
    """MINE by truth and OTHERS by the caches are in force."""
    found = both(**options)
    found.truth_loaded(truth(MINE))
    found.rtr_changed(rtr(OTHERS), "first")
    return found


def changed(event: DataReplaced | None) -> frozenset[Prefix] | None:
    assert event is not None
    return event.prefixes


# The start ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("truth_first", [True, False])
def test_nothing_is_in_force_before_both_have_come(truth_first: bool) -> None:
    found = both()
    first, second = (
        lambda: found.truth_loaded(truth(MINE)),
        lambda: found.rtr_changed(rtr(OTHERS), "first"),
    )
    if not truth_first:
        first, second = second, first
    assert first() is None
    assert not found.is_started
    event = second()
    assert found.is_started
    assert event is not None
    assert event.prefixes is None, "everything is to be judged"
    assert event.data == found.data
    assert event.data.truth == vrps(MINE)
    assert event.data.rtr == vrps(OTHERS)


def test_what_is_in_force_before_the_start_rejects_everything() -> None:
    nothing = both(mode=Mode.UNION).nothing
    assert nothing == Data(
        truth_source=Source.UNAVAILABLE, rtr_source=Source.UNAVAILABLE, mode=Mode.UNION
    )
    with pytest.raises(DataUnavailableError):
        origin(prefixes("203.0.113.1")[0], 65007, nothing)


def test_truth_alone_starts_alone() -> None:
    found = both(has_rtr=False)
    event = found.truth_loaded(truth(MINE))
    assert changed(event) is None
    assert found.data == Data(
        truth=vrps(MINE),
        truth_source=Source.READY,
        provenance=Provenance(truth_sha256=truth(MINE).sha256),
    )


def test_caches_alone_start_alone() -> None:
    found = both(has_truth=False)
    event = found.rtr_changed(rtr(OTHERS, serial=9), "first")
    assert changed(event) is None
    assert found.data == Data(
        rtr=vrps(OTHERS),
        rtr_source=Source.READY,
        provenance=Provenance(rtr_cache="192.0.2.50:8282", rtr_session=7, rtr_serial=9),
    )


@pytest.mark.parametrize("mode", list(Mode))
def test_the_mode_is_handed_on(mode: Mode) -> None:
    assert started(mode=mode).data.mode is mode


def test_giving_up_starts_with_truth_alone() -> None:
    found = both()
    assert found.truth_loaded(truth(MINE)) is None
    event = found.give_up_waiting()
    assert event is not None
    assert (event.source, event.prefixes, event.added, event.removed) == ("rtr", None, 0, 0)
    assert event.detail == "given up waiting for a first End of Data"
    assert found.is_started
    assert (found.data.rtr, found.data.rtr_source) == (None, Source.UNAVAILABLE)
    covered, elsewhere = prefixes("203.0.113.1 203.0.113.17")
    assert origin(covered, 65007, found.data).state is OriginState.VALID
    with pytest.raises(DataUnavailableError):
        origin(elsewhere, 65008, found.data)


def test_giving_up_does_not_replace_truth() -> None:
    found = both()
    assert found.give_up_waiting() is None
    assert not found.is_started
    assert changed(found.truth_loaded(truth(MINE))) is None
    assert found.is_started


def test_only_caches_are_given_up_on() -> None:
    """Caches are not to blame for a missing truth."""
    found = both()
    assert found.waits_for_caches
    found.rtr_changed(rtr(OTHERS), "")
    assert (found.is_started, found.waits_for_caches) == (False, False)
    found = both()
    found.truth_loaded(truth(MINE))
    assert found.waits_for_caches
    found.give_up_waiting()
    assert not found.waits_for_caches


def test_caches_that_come_late_are_welcome() -> None:
    found = both()
    found.truth_loaded(truth(MINE))
    found.give_up_waiting()
    event = found.rtr_changed(rtr(OTHERS), "first")
    assert changed(event) is None
    assert found.data.rtr == vrps(OTHERS)


# Changes -----------------------------------------------------------------------------------------


def test_a_new_truth_is_logged_with_the_entries_added_and_removed() -> None:
    found = started()
    event = found.truth_loaded(truth(SIX, OTHERS, revision="3f2a1c"))
    assert event == DataReplaced(
        data=found.data,
        source="truth",
        detail="roas, 2 VRPs, revision 3f2a1c",
        prefixes=frozenset(prefixes("203.0.113.0/28 203.0.113.16/28 2001:db8:aa::/64")),
        asns=frozenset(),
        added=2,
        removed=1,
    )
    assert found.data.truth == vrps(SIX, OTHERS)
    assert found.data.provenance.truth_revision == "3f2a1c"


def test_a_truth_without_a_revision_is_logged_as_unnamed() -> None:
    event = started().truth_loaded(truth(OTHERS))
    assert event is not None
    assert event.detail == "roas, 1 VRPs, revision unnamed"


def test_a_new_snapshot_is_logged_with_the_vrps_added_and_removed() -> None:
    found = started()
    event = found.rtr_changed(rtr(OTHERS, SIX, serial=2), "serial 2")
    assert event == DataReplaced(
        data=found.data,
        source="rtr",
        detail="serial 2",
        prefixes=frozenset(prefixes("2001:db8:aa::/64")),
        asns=frozenset(),
        added=1,
        removed=0,
    )
    assert found.data.provenance.rtr_serial == 2


def test_the_same_again_concerns_no_prefix() -> None:
    found = started()
    assert changed(found.rtr_changed(rtr(OTHERS, serial=2), "again")) == frozenset()
    assert changed(found.truth_loaded(truth(MINE, revision="x"))) == frozenset()


def test_a_changed_maxlength_concerns_its_prefix() -> None:
    event = started().truth_loaded(truth("203.0.113.0/28-31 AS65007"))
    assert changed(event) == frozenset(prefixes("203.0.113.0/28"))


def test_with_very_many_prefixes_everything_is_judged(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(data, "MANY_PREFIXES", 2)
    two = ["198.51.100.0/24 AS65007", "192.0.2.0/24 AS65007"]
    assert changed(started().truth_loaded(truth(MINE, *two))) == frozenset(
        prefixes("198.51.100.0/24 192.0.2.0/24")
    )
    event = started().truth_loaded(truth(MINE, *two, SIX))
    assert event is not None
    assert (event.prefixes, event.added) == (None, 3)
    # and together with those that a filter hides
    hidden = prefixes("203.0.113.16/28 203.0.113.0/28")
    assert changed(started().truth_loaded(slurm("203.0.113.16/28"))) == frozenset(hidden)
    monkeypatch.setattr(data, "MANY_PREFIXES", 1)
    assert changed(started().truth_loaded(slurm("203.0.113.16/28"))) is None


# Hosts -------------------------------------------------------------------------------------------

HV7 = host("hv7", 65007, "198.51.100.7")
HV8 = host("hv8", 65008, "198.51.100.8", owned="203.0.113.16/28")


@pytest.mark.parametrize(
    ("after", "asns"),
    [
        ((HV7, HV8), set()),
        ((HV8, HV7), set()),
        ((HV7,), {65008}),
        ((HV7, HV8, host("hv9", 65009, owned="203.0.113.32/28")), {65009}),
        ((host("hv7", 65007, "198.51.100.17"), HV8), {65007}),
        ((host("hv7", 65007), HV8), {65007}),
        ((host("renamed", 65007, "198.51.100.7"), HV8), {65007}),
        ((HV7, host("hv8", 65009, "198.51.100.8", owned="203.0.113.16/28")), {65008, 65009}),
    ],
)
def test_hosts_that_changed_are_named_by_asn(
    after: tuple[dict[str, Any], ...], asns: set[int]
) -> None:
    found = both(has_rtr=False)
    found.truth_loaded(truth(hosts=(HV7, HV8)))
    event = found.truth_loaded(truth(hosts=after))
    assert event is not None
    assert event.asns == asns


def test_hosts_are_in_the_data() -> None:
    found = both(has_rtr=False)
    assert found.data.bindings == NO_BINDINGS
    event = found.truth_loaded(truth(hosts=(HV7, HV8)))
    assert event is not None
    assert event.data.bindings == truth(hosts=(HV7, HV8)).bindings()
    assert set(event.data.bindings.by_asn) == {65007, 65008}


# Filters -----------------------------------------------------------------------------------------


def test_filters_apply_to_the_caches_data() -> None:
    found = both()
    found.truth_loaded(slurm("203.0.113.16/28"))
    found.rtr_changed(rtr(MINE, OTHERS), "first")
    assert found.data.rtr == vrps(MINE)


def test_a_changed_filter_concerns_what_it_hides_or_shows() -> None:
    found = both()
    found.rtr_changed(rtr(MINE, OTHERS, SIX), "first")
    found.truth_loaded(slurm("203.0.113.16/28"))
    event = found.truth_loaded(slurm("203.0.113.0/28"))
    assert event is not None
    assert event.prefixes == frozenset(prefixes("203.0.113.0/28 203.0.113.16/28"))
    assert (event.added, event.removed) == (0, 0), "truth itself has no VRPs"
    assert found.data.rtr == vrps(OTHERS, SIX)


def test_a_filtered_change_of_the_caches_is_none() -> None:
    found = both()
    found.truth_loaded(slurm("203.0.113.16/28"))
    found.rtr_changed(rtr(MINE), "first")
    event = found.rtr_changed(rtr(MINE, OTHERS), "second")
    assert event is not None
    assert (event.prefixes, event.added) == (frozenset(), 0)


# Expiry ------------------------------------------------------------------------------------------


def test_expired_data_are_held() -> None:
    found = started()
    assert found.rtr_expired() is None
    assert found.data.rtr == vrps(OTHERS)
    assert changed(found.rtr_changed(rtr(OTHERS), "fresh again")) == frozenset()


def test_expired_data_reject_if_so_configured() -> None:
    found = started(reject_expired=True)
    event = found.rtr_expired()
    assert event is not None
    assert (event.source, event.prefixes, event.added, event.removed) == ("rtr", None, 0, 0)
    assert (event.data.rtr, event.data.rtr_source) == (None, Source.UNAVAILABLE)
    assert event.data.truth == vrps(MINE)
    assert "expired" in event.detail


def test_expired_data_come_back() -> None:
    found = started(reject_expired=True)
    found.rtr_expired()
    event = found.rtr_changed(rtr(OTHERS), "fresh again")
    assert event is not None
    assert (event.prefixes, event.data.rtr) == (None, vrps(OTHERS))


def test_a_new_truth_does_not_bring_expired_data_back() -> None:
    found = started(reject_expired=True)
    found.rtr_expired()
    event = found.truth_loaded(truth(SIX))
    assert event is not None
    assert (event.data.rtr, event.data.rtr_source) == (None, Source.UNAVAILABLE)
    assert event.prefixes == frozenset(prefixes("203.0.113.0/28 2001:db8:aa::/64"))


def test_expiry_before_the_start_starts_nothing() -> None:
    found = both(reject_expired=True)
    found.truth_loaded(truth(MINE))
    assert found.rtr_expired() is None
    assert not found.is_started


def test_a_truth_that_comes_after_the_expiry_decides_alone() -> None:
    """Caches that have delivered are never given up."""
    found = both(reject_expired=True)
    assert found.rtr_changed(rtr(OTHERS), "first") is None
    assert found.rtr_expired() is None
    assert not found.waits_for_caches
    event = found.truth_loaded(truth(MINE))
    assert event is not None
    assert (event.data.truth, event.data.rtr_source) == (vrps(MINE), Source.UNAVAILABLE)
    assert event.prefixes is None


# Whatever happens --------------------------------------------------------------------------------

SETS = st.lists(st.sampled_from([MINE, OTHERS, SIX, "203.0.113.0/24 AS65009"]), unique=True)


@settings(max_examples=150)
@given(st.lists(st.tuples(st.sampled_from(["truth", "slurm", "rtr"]), SETS), max_size=8))
def test_every_difference_is_named(steps: list[tuple[str, list[str]]]) -> None:
    """A route outside the named prefixes has the same VRPs around it as before."""
    found = started()
    for kind, texts in steps:
        before = found.data
        if kind == "rtr":
            event = found.rtr_changed(rtr(*texts), "")
        elif kind == "slurm" and texts:
            event = found.truth_loaded(slurm(*(str(v.prefix) for v in vrps(*texts))))
        else:
            event = found.truth_loaded(truth(*(texts or [MINE])))
        assert event is not None
        assert event.data == found.data
        assert event.prefixes is not None
        for old, new in [(before.truth, event.data.truth), (before.rtr, event.data.rtr)]:
            assert isinstance(old, VrpSet)
            assert isinstance(new, VrpSet)
            assert {vrp.prefix for vrp in set(old) ^ set(new)} <= event.prefixes


# Finding what changes in a thread -----------------------------------------------------------------


def test_what_a_thread_found_is_used() -> None:
    found = started()
    found.truth_loaded(slurm("198.51.100.0/24"))
    snapshot = rtr(OTHERS, SIX, serial=2)
    before = found.data
    prepared = found.prepare_rtr(snapshot)
    assert found.data == before
    event = found.rtr_changed(snapshot, "", prepared)
    assert changed(event) == frozenset(prefixes("2001:db8:aa::/64"))
    assert event is not None
    assert event.data.rtr is prepared.vrps


def test_what_a_thread_found_for_another_truth_is_not() -> None:
    """The rule holds even if no data of the caches were in force before."""
    found = both()
    found.truth_loaded(slurm("198.51.100.0/24"))
    snapshot = rtr(OTHERS, SIX)
    prepared = found.prepare_rtr(snapshot)
    found.truth_loaded(slurm("2001:db8:aa::/64"))
    event = found.rtr_changed(snapshot, "", prepared)
    assert event is not None
    assert event.data.rtr == VrpSet.of(vrps(OTHERS))


def test_what_a_thread_found_beside_other_data_is_not() -> None:
    found = started()
    snapshot = rtr(OTHERS, SIX, serial=2)
    prepared = found.prepare_rtr(snapshot)
    found.rtr_changed(rtr(SIX, serial=3), "")
    event = found.rtr_changed(snapshot, "", prepared)
    assert changed(event) == frozenset(prefixes("203.0.113.16/28"))


# From the configuration ---------------------------------------------------------------------------

MINIMAL = (ROOT / "fixtures" / "config" / "minimal.toml").read_text()
TRUTH = '[truth]\nfile = "truth.json"\n'
RTR = '[rtr]\ncaches = ["192.0.2.50:8282"]\n'


def of(text: str) -> Sources:
    return Sources.of(parse_config(MINIMAL.replace(TRUTH, text), Path("/etc/rsfilter.toml")))


@pytest.mark.parametrize("mode", Mode)
def test_the_mode_of_the_configuration_is_in_force(mode: Mode) -> None:
    assert of(TRUTH + f'mode = "{mode.value}"\n' + RTR).nothing.mode is mode
    assert of(RTR).nothing.mode is Mode.AUTHORITATIVE


def test_what_the_configuration_has_is_waited_for() -> None:
    assert of(TRUTH).truth_loaded(truth(MINE))
    assert of(TRUTH).rtr_changed(rtr(OTHERS), "") is None
    assert of(RTR).rtr_changed(rtr(OTHERS), "")
    assert of(TRUTH + RTR).truth_loaded(truth(MINE)) is None
    assert of(TRUTH + RTR).rtr_changed(rtr(OTHERS), "") is None


@pytest.mark.parametrize(
    ("setting", "rejects"), [("", False), ('"hold"', False), ('"reject"', True)]
)
def test_what_becomes_of_expired_data_is_configured(setting: str, rejects: bool) -> None:
    found = of(RTR + (f"on_expire = {setting}\n" if setting else ""))
    found.rtr_changed(rtr(OTHERS), "")
    assert (found.rtr_expired() is not None) is rejects


def test_what_a_thread_found_of_a_truth_is_used() -> None:
    found = started()
    newer = truth(MINE, SIX, revision="x")
    before = found.data
    prepared = found.prepare_truth(newer)
    assert found.data == before
    event = found.truth_loaded(newer, prepared)
    assert changed(event) == frozenset(prefixes("2001:db8:aa::/64"))
    assert event is not None
    assert (event.added, event.removed) == (1, 0)
    assert event.data.bindings is prepared.bindings
    assert found.truth is newer


def test_what_a_thread_found_of_a_truth_is_not_used_for_other_data_of_the_caches() -> None:
    found = started()
    filters = slurm("2001:db8:aa::/64")
    prepared = found.prepare_truth(filters)
    found.rtr_changed(rtr(OTHERS, SIX, serial=2), "")
    event = found.truth_loaded(filters, prepared)
    assert event is not None
    assert event.data.rtr == VrpSet.of(vrps(OTHERS))
    assert set(prefixes("2001:db8:aa::/64")) <= (changed(event) or set())


def test_what_a_thread_found_of_one_truth_is_not_used_for_another() -> None:
    found = started()
    one, other = truth(MINE, SIX), truth(SIX)
    prepared = found.prepare_truth(one)
    event = found.truth_loaded(other, prepared)
    assert event is not None
    assert event.data.truth is other.vrps
