"""Labels of a looking glass: numbers, and who may make them."""

from __future__ import annotations

import ast

import pytest
from support.core_samples import OWN_ASN, path, prefix, route, router_group
from support.places import ROOT

from rsfilter.routing.adj_rib_out import AdjRibOut
from rsfilter.routing.drain import DrainPhase
from rsfilter.routing.export import NO_EXPORT, Withheld
from rsfilter.routing.groups import RouterGroup
from rsfilter.routing.labels import foreign, labels, rejection_texts
from rsfilter.routing.model import Attributes, OriginState, Validation, Verdict, VerdictKind
from rsfilter.routing.reasons import REASONS

ASN = 4_200_000_001


@pytest.mark.parametrize(
    ("reasons", "state", "numbers"),
    [
        ((), OriginState.VALID, [(1000, 1)]),
        ((), OriginState.NOT_FOUND, [(1000, 2)]),
        (("origin_not_found",), OriginState.NOT_FOUND, [(1101, 12), (1000, 2)]),
        (("data_unavailable",), OriginState.NOT_FOUND, [(1101, 2009), (1000, 3)]),
        (("prefix_malformed",), OriginState.NOT_FOUND, [(1101, 2004), (1000, 3)]),
        (
            ("next_hop_not_owned", "origin_invalid_asn", "origin_invalid_length"),
            OriginState.INVALID,
            [(1101, 8), (1101, 13), (1000, 4)],
        ),
    ],
)
def test_a_verdict_has_its_labels(
    reasons: tuple[str, ...], state: OriginState, numbers: list[tuple[int, int]]
) -> None:
    kind = VerdictKind.REJECTED if reasons else VerdictKind.ACCEPTED
    found = labels(ASN, Verdict(kind, reasons, Validation(state)))
    assert found == tuple((ASN, *pair) for pair in numbers)


def test_every_reason_is_labelled_and_has_a_text() -> None:
    for name, reason in REASONS.items():
        (label, _) = labels(
            ASN, Verdict(VerdictKind.REJECTED, (name,), Validation(OriginState.NOT_FOUND))
        )
        assert label == (ASN, 1101, reason.euro_ix)
        assert reason.text in rejection_texts()[label[2]]


def test_what_a_host_sends_in_our_name_is_left_out() -> None:
    assert foreign(ASN, ((ASN, 1101, 13), (ASN + 1, 1101, 13))) == ((ASN + 1, 1101, 13),)


BEST, ALL, ONLY_IPV6 = (
    router_group(),
    router_group(all_paths=True),
    router_group(families=frozenset({6})),
)
PLAIN = Attributes(as_path=path("65007"))
WORSE = PLAIN._replace(med=5)
INSIDE = PLAIN._replace(communities=(NO_EXPORT,))


@pytest.mark.parametrize(
    ("group", "phase", "attributes", "why"),
    [
        (BEST, DrainPhase.IN_SERVICE, PLAIN, None),
        (BEST, DrainPhase.DRAINING, PLAIN, None),
        (BEST, DrainPhase.IN_SERVICE, WORSE, Withheld.NOT_BEST),
        (BEST, DrainPhase.IN_SERVICE, INSIDE, Withheld.COMMUNITY),
        (BEST, DrainPhase.DRAINED, PLAIN, Withheld.DRAINED),
        (ALL, DrainPhase.IN_SERVICE, WORSE, None),
        (ALL, DrainPhase.IN_SERVICE, INSIDE, Withheld.COMMUNITY),
        (ONLY_IPV6, DrainPhase.IN_SERVICE, PLAIN, Withheld.FAMILY),
    ],
)
def test_a_withheld_route_has_its_reason(
    group: RouterGroup, phase: DrainPhase, attributes: Attributes, why: Withheld | None
) -> None:
    best, other = route(attributes=PLAIN), route(neighbor="198.51.100.8", attributes=attributes)
    table = AdjRibOut(OWN_ASN, group)
    table.drain(phase)
    table.update([(prefix("203.0.113.1/32"), [best, other])])
    assert table.withheld(best if attributes is PLAIN else other) is why


def test_nothing_on_the_way_to_routers_can_make_a_label() -> None:
    """Only answers and Alice-LG's sections know them."""
    importers = set()
    for file in (ROOT / "rsfilter").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            module = node.module or "" if isinstance(node, ast.ImportFrom) else ""
            if "rsfilter.routing.labels" in (module, *names) or (
                module == "rsfilter.routing" and "labels" in [a.name for a in node.names]
            ):
                importers.add(file.relative_to(ROOT / "rsfilter").as_posix())
    assert importers == {"web/birdwatcher.py", "render/alice.py"}
