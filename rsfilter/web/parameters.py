"""Parameters of a request: texts to values, and in words what one takes that was given another."""

from __future__ import annotations

import re
from collections.abc import Mapping

import msgspec

from rsfilter.web.requests import bad_request
from rsfilter.web.schema import Asked

MAX_SHOWN = 60
"""Characters of a bad value that an error repeats."""

_AS = re.compile(r"[Aa][Ss](?=[0-9])")


def parse(given: Mapping[str, str], kind: type[Asked]) -> Asked:
    """Return the parameters of a request. ASNs may begin with AS. ApiError 400 for a bad one."""
    asn = given.get("asn")
    values = {**given, "asn": _AS.sub("", asn, count=1)} if asn and _AS.match(asn) else given
    try:
        return msgspec.convert(values, type=kind, strict=False)
    except msgspec.ValidationError as error:
        name = str(error).partition(" - at `$.")[2].rstrip("`")
        if name not in given:
            raise  # one is missing that the path has
    raise bad_request(f"{name}: {_shown(given[name])} is not {takes(kind, name)}")


def takes(kind: type[Asked], name: str) -> str:
    """Return in words what a parameter takes."""
    (schema,), components = msgspec.json.schema_components([kind])
    found = components[schema["$ref"].rpartition("/")[2]]["properties"][name]
    of = next(each for each in found.get("anyOf", [found]) if each != {"type": "null"})
    if name == "asn":
        return "an ASN such as 65001 or AS65001"
    if "enum" in of:
        return f"one of {', '.join(of['enum'])}"
    if of["type"] == "integer":
        return f"an integer from {of['minimum']} to {of['maximum']}"
    return f"a text of at most {of['maxLength']} characters"


def _shown(value: str) -> str:
    return repr(value) if len(value) <= MAX_SHOWN else f"a text of {len(value)}"
