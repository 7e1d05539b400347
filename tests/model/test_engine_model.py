"""The engine against a naive one that works everything out anew, in whatever order things happen.

After every step the two agree, the audit events show exactly how the verdicts came to be, and the
changes for routers name every prefix that differs.
"""

from __future__ import annotations

from unittest.mock import patch

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule
from support.core_samples import OWN_ASN, up
from support.engine_bench import NOTHING
from support.engine_model import Model, difference
from support.engine_rules import (
    HOSTS,
    MAX_OVER_LIMIT,
    ROUTERS,
    SPEAKERS,
    START,
    Ledger,
    Speaker,
    data_sets,
    named,
    new_engine,
    routes_out,
    speakers,
    updates,
    verdicts,
    what_changed,
)

from rsfilter.routing import adj_rib_in
from rsfilter.routing.effects import Actions, DataChange
from rsfilter.routing.events import DataReplaced, RefreshMark, SessionDown, SessionUp, Update
from rsfilter.routing.export import Paths
from rsfilter.routing.model import (
    UNICAST,
    Address,
    Prefix,
)
from rsfilter.routing.validation import Data


class EngineMachine(RuleBasedStateMachine):
    """All events, applied to both."""

    def __init__(self) -> None:
        super().__init__()
        self.patches = [
            patch.object(adj_rib_in, "MAX_OVER_LIMIT", MAX_OVER_LIMIT),
            patch.object(
                adj_rib_in, "MANY", 2
            ),  # a prefix becomes one of many owners, and no longer is
        ]
        for each in self.patches:
            each.start()
        self.engine = new_engine()
        self.model = Model(OWN_ASN, HOSTS, ROUTERS, START, MAX_OVER_LIMIT)
        self.ledger = Ledger()
        self.seen: dict[tuple[str, Prefix], Paths] = {}
        """Tables of a reader that only follows the changes that were named."""
        self.up: set[Address] = set()

    def teardown(self) -> None:
        for each in self.patches:
            each.stop()

    @rule(update=speakers.flatmap(updates))
    def update(self, update: Update) -> None:
        for key in update.withdrawn:
            self.model.withdraw(update.neighbor, (key.prefix, key.path_id))
        for route in update.announced:
            self.model.announce(route)
        actions = self.engine.handle(update, 0.0)
        self.compare(actions, is_exact=len(update.announced) == 1 and not update.withdrawn)

    @rule(speaker=speakers)
    def repeat(self, speaker: Speaker) -> None:
        """Announce everything again: nothing follows."""
        for route in list(self.model.announced.get(speaker.neighbor, {}).values()):
            self.model.announce(route)
            again = Update(speaker.neighbor, route.asn, (route,), ())
            assert self.engine.handle(again, 0.0) == NOTHING

    @rule(speaker=speakers)
    def session_up(self, speaker: Speaker) -> None:
        if speaker.neighbor in self.up:
            self.model.drop(speaker.neighbor)
        self.up.add(speaker.neighbor)
        self.compare(self.engine.handle(SessionUp(*speaker), 0.0), is_exact=True)

    @rule(speaker=speakers)
    def session_down(self, speaker: Speaker) -> None:
        self.model.drop(speaker.neighbor)
        self.up.discard(speaker.neighbor)
        down = SessionDown(*speaker, "lost", administrative=False)
        self.compare(self.engine.handle(down, 0.0), is_exact=True)

    @rule(speaker=speakers, family=st.sampled_from((4, 6)), is_end=st.booleans())
    def refresh(self, speaker: Speaker, family: int, is_end: bool) -> None:
        if is_end:
            self.model.end_refresh(speaker.neighbor, family)
        else:
            self.model.begin_refresh(speaker.neighbor, family)
        mark = RefreshMark(*speaker, UNICAST[family], is_end)
        self.compare(self.engine.handle(mark, 0.0), is_exact=False)

    @rule(new=data_sets(), is_vague=st.sampled_from((False, False, True)))
    def data_replaced(self, new: Data, is_vague: bool) -> None:
        touched, asns, neighbors = what_changed(self.model.data, new)
        if is_vague:
            touched = None
        self.model.data = new
        event = DataReplaced(new, "truth", "", touched, asns, neighbors=neighbors)
        actions = self.engine.handle(event, 0.0)
        self.compare(actions, is_exact=True)
        assert len(set(named(actions))) == len(named(actions))
        for change in actions.audit:
            if isinstance(change, DataChange):
                assert change.rejudged == self.count_concerned(touched, asns, neighbors)

    def count_concerned(
        self,
        touched: frozenset[Prefix] | None,
        asns: frozenset[int],
        neighbors: frozenset[Address],
    ) -> int:
        return sum(
            touched is None
            or route.asn in asns
            or route.key.neighbor in neighbors
            or any(covering.covers(route.key.prefix) for covering in touched)
            for table in self.model.announced.values()
            for route in table.values()
        )

    def compare(self, actions: Actions, *, is_exact: bool) -> None:
        expected = self.model.verdicts()
        assert verdicts(self.engine) == expected
        self.ledger.read(actions.audit)
        assert self.ledger.known == {r.key: (v.kind, v.reasons) for r, v in expected.items()}
        should_have = self.model.routes_out()
        assert routes_out(self.engine) == should_have
        sent = {*named(actions)}
        differs = difference(self.seen, should_have)
        assert sent == differs if is_exact else sent >= differs
        self.seen = should_have


EngineMachine.TestCase.settings = settings(max_examples=250, stateful_step_count=40)
TestEngineMachine = EngineMachine.TestCase


# Order -------------------------------------------------------------------------------------------


@settings(max_examples=80)
@given(st.data())
def test_the_order_between_sessions_changes_nothing(chance: st.DataObject) -> None:
    """Each session's own order is kept; how they mix must not show at the routers."""
    streams = [
        [up(str(s.neighbor), s.asn), *chance.draw(st.lists(updates(s), max_size=6))]
        for s in SPEAKERS
    ]
    ends = []
    turns = [index for index, stream in enumerate(streams) for _ in stream]
    for order in (turns, chance.draw(st.permutations(turns))):
        engine, rest = new_engine(), [iter(stream) for stream in streams]
        for turn in order:
            engine.handle(next(rest[turn]), 0.0)
        ends.append((routes_out(engine), verdicts(engine)))
    assert ends[0] == ends[1]


@settings(max_examples=80)
@given(st.data())
def test_the_same_events_give_the_same_actions(chance: st.DataObject) -> None:
    events = chance.draw(st.lists(speakers.flatmap(updates), max_size=12))
    one, other = new_engine(), new_engine()
    for event in events:
        assert one.handle(event, 0.0) == other.handle(event, 0.0)
