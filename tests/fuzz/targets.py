"""Targets of fuzzing: for each a check of octets, seeds, and how to mutate with sense."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from fuzz import engine, files, lines, remains
from fuzz.mutate import Mutation, mutate_json, mutate_lines, mutate_setting, mutate_words


@dataclass(frozen=True, slots=True)
class Target:
    """One thing that is fuzzed."""

    check: Callable[[bytes], None]
    """Raises when the code breaks a promise for these octets."""
    seeds: Callable[[], Iterable[bytes]]
    mutations: tuple[Mutation, ...]
    """Mutations beside atheris's own, of octets."""
    max_octets: int
    """Length of inputs; longer ones are not tried, because they are slow and seldom have more in
    them."""
    share: int
    """Share of the time, relative to the others: a target with more states gets more."""


_SCRIPT = mutate_lines(engine.POOL, (mutate_json, mutate_words))
_RECORDING = mutate_lines(
    [line for seed in files.recording_seeds() for line in seed.split(b"\n")], (mutate_json,)
)
_GUARD = mutate_lines(list(files.guard_seeds()), ())
_TOML = mutate_lines(files.TOML_LINES, (mutate_setting, mutate_words))
_SHOW = mutate_lines(lines.SHOW_LINES, (mutate_json, mutate_words))

TARGETS: dict[str, Target] = {
    "decode": Target(lines.check_decode, lines.decode_seeds, (mutate_json,), 8192, 2),
    "show": Target(lines.check_show, lines.show_seeds, (_SHOW,), 16384, 2),
    "engine": Target(engine.check, engine.seeds, (_SCRIPT,), 16384, 6),
    "truth": Target(files.check_truth, files.truth_seeds, (mutate_json,), 8192, 2),
    "slurm": Target(files.check_slurm, files.slurm_seeds, (mutate_json,), 8192, 1),
    "recording": Target(files.check_recording, files.recording_seeds, (_RECORDING,), 16384, 1),
    "guard": Target(files.check_guard, files.guard_seeds, (_GUARD,), 4096, 1),
    "remains": Target(remains.check_remains, remains.remains_seeds, (mutate_json,), 2048, 1),
    "neighbors": Target(remains.check_neighbors, remains.neighbors_seeds, (mutate_json,), 8192, 1),
    "body": Target(remains.check_body, remains.body_seeds, (mutate_json,), 8192, 1),
    "config": Target(files.check_config, files.config_seeds, (_TOML,), 8192, 2),
}
