"""Templates of files that are no HTML."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rsfilter.util.text import to_json

if TYPE_CHECKING:
    from jinja2 import Template


def template(name: str) -> Template:
    """Load a template of `templates/`. The filter `json` quotes a value."""
    from jinja2 import Environment, PackageLoader, StrictUndefined  # slow to import

    environment = Environment(
        loader=PackageLoader("rsfilter.render"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,  # noqa: S701 - no HTML: numbers, addresses, names, and what `json` quotes
    )
    environment.filters["json"] = to_json
    return environment.get_template(name)
