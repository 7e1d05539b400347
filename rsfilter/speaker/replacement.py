"""A replacement of functions of ExaBGP, and the sources that it was made for.

A source is known by the SHA-256 of its text. ExaBGP has no stable interface inside: a function
whose text is another one may rely on something else, so its replacement is left out.
"""

from __future__ import annotations

import hashlib
import importlib
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Sources = Mapping[str, Mapping[str, str]]
"""Release -> SHA-256 of the source, for each qualified name (`package.module:Class.method`)."""


@dataclass(frozen=True)
class Replacement:
    """Code that costs less than ExaBGP's, with the same effect."""

    name: str
    """One word, for the log, `status` and metrics."""
    made_for: Sources
    """Source of the replaced code, and of the code that the replacement relies on."""
    install: Callable[[], None]


@dataclass(frozen=True)
class Installed:
    """Replacements made in this process."""

    exabgp: str
    """ExaBGP's release."""
    replaced: tuple[str, ...]
    left_out: Mapping[str, str]
    """Reason for each replacement that is not active."""


def install(replacements: Sequence[Replacement], release: str) -> Installed:
    """Install each replacement whose sources are known; the others are left out."""
    replaced, left_out = [], {}
    for replacement in replacements:
        if unknown := unknown_source(replacement.made_for):
            left_out[replacement.name] = f"not made for the source of {unknown}"
        else:
            replacement.install()
            replaced.append(replacement.name)
    return Installed(release, tuple(replaced), left_out)


def unknown_source(made_for: Sources) -> str | None:
    """First qualified name whose source is not known; None when all are."""
    for name, fingerprints in made_for.items():
        found = fingerprint(name)
        if found is None or found not in fingerprints.values():
            return name
    return None


def fingerprint(name: str) -> str | None:
    """SHA-256 of the source behind a qualified name; None when there is none."""
    try:
        source = inspect.getsource(resolve(name))
    except (ImportError, AttributeError, OSError, TypeError):
        return None
    return hashlib.sha256(source.encode()).hexdigest()


def resolve(name: str) -> Any:
    """The function or class of a qualified name. Raises ImportError or AttributeError."""
    module, _, path = name.partition(":")
    found: Any = importlib.import_module(module)
    for part in path.split("."):
        found = inspect.getattr_static(found, part)
    return found.__func__ if isinstance(found, (staticmethod, classmethod)) else found
