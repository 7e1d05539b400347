"""Refuses what a page of another site makes a browser request.

A browser on the operator's machine reaches loopback, and any page can have it request an image, a
script or a form from there: the page cannot read the answer, but the filter would do the work.
Three headers, which no page can forge, give such requests away: Host (DNS rebinding),
Sec-Fetch-Site (W3C Fetch Metadata) and Origin (RFC 6454). Programs other than browsers send neither
of the last two.
"""

from __future__ import annotations

import contextlib
from collections.abc import Collection
from ipaddress import ip_address
from urllib.parse import urlsplit

from aiohttp import web

from rsfilter.web.requests import ApiError

OWN_SITES = ("same-origin", "none")
"""Sec-Fetch-Site of our own page, and of an address that the user typed or bookmarked."""

LINKED = "/"
"""The page: static files that cost nothing. Links of other sites (a wiki, an alert) may open it."""


def check_host(request: web.Request, allowed: Collection[str]) -> None:
    """Refuse names that are not `allowed`: a site that rebinds its name to our address comes with
    it as Host."""
    given = request.headers.get("Host", "")  # not request.host, which may query the DNS, and block
    host = given[1:].partition("]")[0] if given.startswith("[") else given.partition(":")[0]
    with contextlib.suppress(ValueError):
        ip_address(host)
        return
    if host.lower().removesuffix(".") not in ("localhost", *allowed):
        detail = "use an address, localhost, or a name of allowed_hosts in [http]"
        raise ApiError(421, "wrong_host", detail)


def check_site(request: web.Request) -> None:
    """Refuse requests of another site's page, and of another port of this machine (same-site)."""
    if not (_is_own_site(request) or _is_link(request)):
        detail = "a page of another site made this request; open rsfilter's own page"
        raise ApiError(403, "cross_site", detail)


def _is_own_site(request: web.Request) -> bool:
    """Sec-Fetch-Site decides if a browser sends it: behind a proxy, Origin names the proxy. Older
    browsers do not, nor does any over plain HTTP from another machine."""
    site = request.headers.get("Sec-Fetch-Site")
    return _is_own_origin(request) if site is None else site in OWN_SITES


def _is_own_origin(request: web.Request) -> bool:
    origin = request.headers.get("Origin")
    if origin is None:
        return True
    with contextlib.suppress(ValueError):
        return urlsplit(origin).netloc == request.headers.get("Host")
    return False


def _is_link(request: web.Request) -> bool:
    """A user follows a link to the page, in a tab of its own: not in a frame, not as an image."""
    return (
        request.path == LINKED
        and request.method == "GET"
        and request.headers.get("Sec-Fetch-Mode") == "navigate"
        and request.headers.get("Sec-Fetch-Dest") == "document"
    )
