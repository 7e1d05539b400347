"""Events of labs, in plain sentences, for the screen (`lab.screen`).

Verbs of the lab report their acts; expectations report what they wait for, and how it ended. A
reader is optional.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

REMEMBERED = 1000
"""Sentences that are kept: more than the longest lab has, little enough to keep for ever."""


@dataclass(slots=True)
class Sentence:
    """One thing that is done or expected."""

    text: str
    state: Literal["waiting", "true", "false"]


class Sentences:
    """Sentences, the latest last."""

    def __init__(self) -> None:
        self._kept: deque[Sentence] = deque(maxlen=REMEMBERED)
        self.count = 0
        """Number of sentences so far."""

    def add(self, sentence: Sentence) -> None:
        """Add a sentence."""
        self._kept.append(sentence)
        self.count += 1

    def since(self, count: int) -> list[Sentence]:
        """Return the sentences after this number, as far as they are remembered."""
        kept = list(self._kept)
        return kept[max(0, len(kept) - (self.count - count)) :]

    def clear(self) -> None:
        """Forget all."""
        self._kept.clear()


SENTENCES = Sentences()

SHOWN: list[str] = []
"""Texts that are to be seen when the lab is over."""


def narrate(text: str) -> None:
    """Report an act."""
    SENTENCES.add(Sentence(text, "true"))


@contextmanager
def expecting(text: str) -> Iterator[None]:
    """Report an expectation; false when an exception ends it."""
    sentence = Sentence(text, "waiting")
    SENTENCES.add(sentence)
    try:
        yield
    except BaseException:
        sentence.state = "false"
        raise
    sentence.state = "true"


def listing(words: Sequence[object], most: int = 4) -> str:
    """`a, b and 7 more`."""
    shown = [str(word) for word in words[:most]]
    if more := len(words) - len(shown):
        return f"{', '.join(shown)} and {more} more"
    return " and ".join([", ".join(shown[:-1]), shown[-1]]) if len(shown) > 1 else "".join(shown)


def details(fields: dict[str, object]) -> str:
    """`, next hop 192.0.2.11, med 100`: what is named, in the order of the arguments."""
    return "".join(
        f", {name.replace('_', ' ')} {_value(value)}"
        for name, value in fields.items()
        if value is not None and value != ()
    )


def _value(value: object) -> str:
    if isinstance(value, str) or not isinstance(value, Sequence):
        return str(value)
    if all(isinstance(part, tuple) for part in value):  # communities
        return listing([":".join(map(str, part)) for part in value]) or "none"
    return listing(value, most=8) if value and isinstance(value[0], str) else _path(value)


def _path(asns: Sequence[object]) -> str:
    shown = " ".join(map(str, asns[:8]))
    return shown if len(asns) <= 8 else f"{shown} ... ({len(asns)} ASNs)"
