"""Replacements in the ExaBGP above this process, as it reports them (`RSFILTER_SPEAKER`)."""

from __future__ import annotations

from typing import Annotated

import msgspec

VARIABLE = "RSFILTER_SPEAKER"
"""Environment variable that `rsfilter exabgp` hands to its helpers."""

LONGEST = 2_000
"""Characters of the report. Any process may set a variable: a longer text is not ours."""

Word = Annotated[str, msgspec.Meta(pattern=r"^[a-z0-9.]{1,32}\Z")]
Words = Annotated[list[Word], msgspec.Meta(max_length=50)]


class Speaker(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Replacements, by name (docs/exabgp-upstream.md)."""

    exabgp: Word
    """Its release."""
    replaced: Words
    left_out: Words
    """Replacements left out, because the release has other source code than they were made for."""


def read_speaker(text: str | None) -> Speaker | None:
    """Return the account; None when there is none, as behind plain `exabgp`, or it is not ours."""
    if text is None or len(text) > LONGEST:
        return None
    try:
        return msgspec.json.decode(text, type=Speaker)
    except msgspec.MsgspecError:
        return None
