"""Fuzzes one target with atheris (libFuzzer). Started by `run`, in a process of its own.

    python -m fuzz.worker TARGET CORPUS FINDINGS [flags of libFuzzer]

libFuzzer ends with the first crash. What a target raises is no crash: it is written down once for
each place that raises it, and fuzzing goes on. A hang, a crash of C code or memory past its limit
ends the process, and libFuzzer leaves the input in FINDINGS too.
"""

from __future__ import annotations

import faulthandler
import hashlib
import logging
import sys
import traceback
from pathlib import Path
from random import Random

import atheris

with atheris.instrument_imports(include=["rsfilter"], enable_loader_override=False):
    from fuzz.targets import TARGETS

MAX_FINDINGS = 25
"""Findings of one run: with more of them, some have to be fixed first."""

OCTETS_ALONE = 0.3
"""Share of mutations of octets by atheris, where the target knows better mutations too."""


class Findings:
    """Directory for inputs that broke a promise."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._places: set[tuple[str, str, int]] = set()

    def add(self, data: bytes, error: Exception) -> None:
        """Write the input and, beside it, the exception: once for each place."""
        frames = traceback.extract_tb(error.__traceback__)
        last = frames[-1]
        place = (type(error).__name__, last.filename, last.lineno or 0)
        if place in self._places:
            return
        self._places.add(place)
        name = hashlib.sha256(data).hexdigest()[:12]
        (self._directory / name).write_bytes(data)
        output = "".join(traceback.format_exception(error))
        (self._directory / f"{name}.txt").write_text(output, encoding="utf-8", errors="replace")
        if len(self._places) >= MAX_FINDINGS:
            raise SystemExit(1)


def main() -> None:
    """Fuzz until libFuzzer's flags end it."""
    name, corpus, findings_name, *flags = sys.argv[1:]
    target = TARGETS[name]
    findings = Findings(Path(findings_name))
    logging.disable(logging.CRITICAL)
    faulthandler.enable()

    def test_one(data: bytes) -> None:
        try:
            target.check(data)
        except Exception as error:
            findings.add(data, error)

    def mutate(data: bytes, max_size: int, seed: int) -> bytes:
        random = Random(seed)
        if random.random() > OCTETS_ALONE:
            changed = random.choice(target.mutations)(data, random)
            if changed is not None and len(changed) <= max_size:
                return changed
        return atheris.Mutate(data, max_size)

    for seed in target.seeds():
        if len(seed) <= target.max_octets:
            Path(corpus, "seed-" + hashlib.sha256(seed).hexdigest()[:16]).write_bytes(seed)
    atheris.Setup(
        [
            sys.argv[0],
            f"-max_len={target.max_octets}",
            f"-artifact_prefix={findings_name}/",
            *flags,
            corpus,
        ],
        test_one,
        custom_mutator=mutate,
        internal_libfuzzer=True,
    )
    atheris.Fuzz()


if __name__ == "__main__":
    main()
