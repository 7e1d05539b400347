"""Parts that the exporters beside this file share: requests, hosts and their prefixes, the file.

Needs nothing but Python. An exporter is `export(parser, source, collect)`, where `collect` puts
hosts, and what each may announce, into a `Truth`.

What cannot be so is an error that names the object, and then no file is written. Neither is one
that would take away more than `--max-shrink` percent of the hosts or of the prefixes of the file
that is there: an API that answers with half of its objects must not become half a truth.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import ssl
import sys
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from http.client import HTTPException
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any

Object = dict[str, Any]

MAX_ANSWER = 64 * 1024 * 1024
"""Octets of one answer."""

MAX_PAGES = 10_000
"""Pages of one list: one that goes on for ever must not be waited for."""


class SourceError(Exception):
    """The source says something that no truth can be made of; one line for each problem."""


# Requests ------------------------------------------------------------------------------------


class _Stay(urllib.request.HTTPRedirectHandler):
    """A redirection is an error: wherever it leads, the token would go along."""

    def redirect_request(self, *_: Any) -> None:
        """To nowhere."""


class Client:
    """One API. What authenticates us goes to its origin alone."""

    def __init__(self, url: str, headers: dict[str, str], args: argparse.Namespace) -> None:
        self.url = url.rstrip("/")
        if not self.url.startswith(("https://", "http://")):
            raise SourceError(f"{url}: not an address such as https://api.example.net")
        self._headers = {"Accept": "application/json", **headers}
        self._timeout = args.timeout
        context = ssl.create_default_context(cafile=args.ca_file)
        https = urllib.request.HTTPSHandler(context=context)
        self._opener = urllib.request.build_opener(_Stay, https)

    def get(self, path: str, **query: Any) -> Object:
        """The JSON object that is there. `path` may be an address that an answer named."""
        url = path if "://" in path else self.url + path
        if query:
            url += "?" + urllib.parse.urlencode(query, doseq=True)
        return self.request(url)[0]

    def request(self, url: str, body: Object | None = None) -> tuple[Object, Any]:
        """The JSON object of an answer, and its headers. Raises OSError and SourceError."""
        if _origin(url) != _origin(self.url):
            raise SourceError(
                f"not an address of {self.url}, which alone may have the token: {url}"
            )
        data = None if body is None else json.dumps(body).encode()
        headers = self._headers | ({"Content-Type": "application/json"} if data else {})
        request = urllib.request.Request(url, data, headers)  # noqa: S310 - origin checked above
        with self._opener.open(request, timeout=self._timeout) as answer:
            content = answer.read(MAX_ANSWER + 1)
            if len(content) > MAX_ANSWER:
                raise SourceError(f"{url}: more than {MAX_ANSWER} octets")
            document = json.loads(content)
            if not isinstance(document, dict):
                raise SourceError(f"{url}: the answer is not a JSON object")
            return document, answer.headers


def _origin(url: str) -> tuple[str, str]:
    """Scheme, host and port."""
    return urllib.parse.urlsplit(url)[:2]


def pages(
    first: Callable[[], Object], following: Callable[[Object], Object | None]
) -> Iterator[Object]:
    """Every page of a list. `following`: the page after one; None: that was the last."""
    page: Object | None = first()
    for _ in range(MAX_PAGES):
        if page is None:
            return
        yield page
        page = following(page)
    raise SourceError(f"a list with more than {MAX_PAGES} pages")


def member(document: Object, name: str, kind: type, where: str) -> Any:
    """A member that has to be there: an API that answers without it is another one."""
    found = document.get(name)
    if not isinstance(found, kind):
        raise SourceError(f"{where}: an answer without {name!r}")
    return found


# Truth ---------------------------------------------------------------------------------------


class Truth:
    """Hosts, and what each may announce. Problems are collected, and told at the end."""

    def __init__(self, within: list[Any]) -> None:
        self._within = within
        self._hosts: dict[str, Object] = {}
        self._owners: dict[str, str] = {}
        self._sessions: dict[str, str] = {}
        self.problems: list[str] = []

    def host(self, name: str, asn: Any, addresses: list[str]) -> None:
        """A host, with its ASN and the addresses of its sessions, which are its own alone."""
        if name in self._hosts:
            self.problems.append(f"host {name}: there are two of this name")
            return
        if not asn or not addresses:
            self.problems.append(f"host {name}: needs an ASN and an address")
            return
        neighbors = [str(ip_address(address)) for address in addresses]
        for neighbor in neighbors:
            if (other := self._sessions.setdefault(neighbor, name)) != name:
                self.problems.append(f"host {name}: its address {neighbor} is that of {other}")
        host = {"name": name, "asn": int(asn), "neighbors": neighbors, "prefixes": []}
        self._hosts[name] = host

    def names(self) -> list[str]:
        """The hosts so far."""
        return list(self._hosts)

    def owns(self, names: list[str], prefix: str, guest: str, *, is_shared: bool = False) -> None:
        """The hosts may announce the prefix, for a guest. An address outside of `--within` is left
        out. `is_shared`: several guests may have it."""
        network = ip_network(prefix)
        if self._within and not any(_covers(each, network) for each in self._within):
            return
        before = self._owners.setdefault(str(network), guest)
        if before != guest and not is_shared:
            self.problems.append(f"{network} is {before}'s, and {guest}'s too")
            return
        known = [name for name in names if name in self._hosts]
        if not known:
            self.problems.append(f"{guest}: no host that could announce {network}")
        for name in known:
            if str(network) not in self._hosts[name]["prefixes"]:
                self._hosts[name]["prefixes"].append(str(network))

    def document(self, source: str) -> Object:
        """The truth in its native form, in an order that depends on nothing but its content."""
        if self.problems:
            raise SourceError("\n".join(sorted(self.problems)))
        hosts = sorted(self._hosts.values(), key=lambda host: host["name"])
        for host in hosts:
            host["prefixes"].sort(key=_order)
        revision = hashlib.sha256(json.dumps(hosts).encode()).hexdigest()[:12]
        now = datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
        metadata = {"revision": revision, "source": source, "generated": now}
        return {"hosts": hosts, "metadata": metadata}


def _covers(outer: Any, inner: Any) -> bool:
    return outer.version == inner.version and inner.subnet_of(outer)


def _order(prefix: str) -> tuple[int, Any]:
    network = ip_network(prefix)
    return network.version, network


# The file ------------------------------------------------------------------------------------


def losses(old: Object, new: Object) -> dict[str, tuple[int, int]]:
    """How many hosts and prefixes of the old truth the new one has not, and of how many."""
    found = {}
    for kind, of in (("hosts", _hosts), ("prefixes", _prefixes)):
        before, after = of(old), of(new)
        found[kind] = (len(before - after), len(before))
    return found


def _hosts(truth: Object) -> set[str]:
    return {host["name"] for host in truth["hosts"]}


def _prefixes(truth: Object) -> set[str]:
    listed = (prefix for host in truth["hosts"] for prefix in host["prefixes"])
    return {each["prefix"] if isinstance(each, dict) else each for each in listed}


def refuse_shrinking(path: Path, new: Object, most: int) -> None:
    """Raise SourceError if more than `most` percent of the file that is there would be lost. One
    single host or prefix may always go, unless it is the last."""
    if not path.exists():
        return
    try:
        lost = losses(json.loads(path.read_bytes()), new)
    except (ValueError, KeyError, TypeError) as error:
        raise SourceError(f"{path}: not a truth to compare with ({error!r}); remove it") from None
    for kind, (count, total) in lost.items():
        if count * 100 > most * total and (count > 1 or count == total):
            raise SourceError(
                f"{path} stays as it is: {count} of {total} {kind} would be lost, more than {most} "
                "percent. Look at the source; if that is meant, repeat with --max-shrink 100"
            )


def write(path: Path, document: Object) -> None:
    """Replace the file at once: a reader never sees half of it."""
    draft = path.with_name(path.name + ".new")
    draft.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    draft.replace(path)


# The command line ----------------------------------------------------------------------------


def arguments(description: str) -> argparse.ArgumentParser:
    """What every exporter takes."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="FILE")
    parser.add_argument(
        "--within",
        type=ip_network,
        action="append",
        default=[],
        metavar="RANGE",
        help="only guests' addresses of this range; may be repeated (default: all)",
    )
    parser.add_argument(
        "--max-shrink",
        type=int,
        choices=range(101),
        default=20,
        metavar="PERCENT",
        help="refuse to lose more hosts or prefixes of FILE than this (default: 20)",
    )
    parser.add_argument("--ca-file", metavar="FILE", help="certificates to trust, PEM")
    parser.add_argument(
        "--timeout", type=float, default=60.0, metavar="SECONDS", help="of each request"
    )
    return parser


def secret(variable: str) -> str:
    """A token from the environment, where no list of processes shows it."""
    found = os.environ.get(variable, "").strip()
    if not found:
        raise SourceError(f"{variable} is not set")
    return found


def export(
    args: argparse.Namespace, source: str, collect: Callable[[argparse.Namespace, Truth], None]
) -> int:
    """Write the truth that `collect` finds; return the exit code."""
    truth = Truth(args.within)
    try:
        collect(args, truth)
        document = truth.document(source)
        refuse_shrinking(args.output, document, args.max_shrink)
        write(args.output, document)
    except (SourceError, OSError, HTTPException, ValueError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    except (KeyError, TypeError, AttributeError) as error:
        sys.stderr.write(f"an answer that is not as this API's are: {error!r}\n")
        return 1
    return 0
