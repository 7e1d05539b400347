"""The lint of docstrings and comments, and the project under it."""

import pytest
from support.english import modules, offences
from support.places import ROOT

GOOD = '''
"""Tables of routes, by neighbor."""

LIMIT = 3
"""None if there is no limit; `tell` and "who asked" are quoted; a looking glass is a page."""


def route(key):
    """Return the route."""
    return key  # RFC 4271
'''

BAD = {
    '"""What a neighbor announced."""': 'begins with "What"',
    '"""Whoever announced it."""': 'begins with "Whoever"',
    '"""None: not yet."""': 'begins with "None"',
    'def f():\n    """Returns the route."""': 'begins with "Returns"',
    'class C:\n    x = 1\n    """Of the route."""': 'begins with "Of"',
    '"""Routers that were told."""': '"told" is banned',
    '"""Release: let\n    go of routes."""'.replace("\n    ", " "): '"let go" is banned',
    "x = 1  # nobody waits": '"nobody" is banned',
    "# look here\nx = 1": '"look" is banned',
}


def test_plain_text_passes() -> None:
    assert offences(GOOD) == []


@pytest.mark.parametrize("source", BAD)
def test_an_offence_is_found_with_its_line(source: str) -> None:
    found = offences("\n" + source + "\n")
    assert any(BAD[source] in offence.problem for offence in found)
    assert all(offence.line >= 2 for offence in found)


def test_the_project_follows_the_rules() -> None:
    found = {str(module): offences(module.read_text()) for module in modules()}
    rooms = {module.relative_to(ROOT).parts[0] for module in modules()}
    assert rooms == {"rsfilter", "tests", "packaging", "docs"}
    assert len(found) > 500
    assert {module: bad for module, bad in found.items() if bad} == {}
