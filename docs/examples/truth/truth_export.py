"""Parts that the exporters beside this file share: requests, hosts and their prefixes, the file.

They need only Python. An exporter calls `export(args, source, collect)`, where `collect` puts
the hosts, and what each may announce, into a `Truth`.

A contradiction is an error that names the object, and no file is written. The same holds for a
truth that lacks more than `--max-shrink` percent of the hosts or prefixes of the existing file: an
API that answers with half of its objects must not make half a truth.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import ssl
import sys
import urllib.error
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
"""Pages of one list, which may not go on for ever."""


class SourceError(Exception):
    """Raised if no truth can be made of the source; one line for each problem."""


# Requests ------------------------------------------------------------------------------------


class _Stay(urllib.request.HTTPRedirectHandler):
    """Refuses redirections: the token would be sent to wherever they lead."""

    def redirect_request(self, *_: Any) -> None:
        """Return no request, which makes the redirection an error."""


class Client:
    """One API. The headers, and the token in them, are sent to its origin only."""

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
        """Return the JSON object at `path`, which may be a URL that an answer named."""
        url = path if "://" in path else self.url + path
        if query:
            url += "?" + urllib.parse.urlencode(query, doseq=True)
        return self.request(url)[0]

    def request(self, url: str, body: Object | None = None) -> tuple[Object, Any]:
        """Return the JSON object of an answer, and its headers. Raises HTTPError and SourceError,
        both with the URL."""
        if _origin(url) != _origin(self.url):
            raise SourceError(
                f"not an address of {self.url}, which alone may have the token: {url}"
            )
        data = None if body is None else json.dumps(body).encode()
        headers = self._headers | ({"Content-Type": "application/json"} if data else {})
        request = urllib.request.Request(url, data, headers)  # noqa: S310 - origin checked above
        try:
            with self._opener.open(request, timeout=self._timeout) as answer:
                content = answer.read(MAX_ANSWER + 1)
            if len(content) > MAX_ANSWER:
                raise SourceError(f"{url}: more than {MAX_ANSWER} octets")
            document = json.loads(content)
        except urllib.error.HTTPError:
            raise  # a caller may know what its code means
        except (OSError, HTTPException, ValueError) as error:
            raise SourceError(f"{url}: {error}") from None
        if not isinstance(document, dict):
            raise SourceError(f"{url}: the answer is not a JSON object")
        return document, answer.headers


def _origin(url: str) -> tuple[str, str]:
    """Return the scheme, and the host with its port."""
    return urllib.parse.urlsplit(url)[:2]


def pages(
    first: Callable[[], Object], following: Callable[[Object], Object | None]
) -> Iterator[Object]:
    """Yield every page of a list. `following` returns the page after one; None after the last."""
    page: Object | None = first()
    for _ in range(MAX_PAGES):
        if page is None:
            return
        yield page
        page = following(page)
    raise SourceError(f"a list with more than {MAX_PAGES} pages")


def member(document: Object, name: str, kind: type, where: str) -> Any:
    """Return a member that every such answer has. Raises SourceError if it is missing."""
    found = document.get(name)
    if not isinstance(found, kind):
        raise SourceError(f"{where}: an answer without {name!r}")
    return found


# Truth ---------------------------------------------------------------------------------------


class Truth:
    """Hosts, and what each may announce. Problems are collected, and reported at the end."""

    def __init__(self, within: list[Any]) -> None:
        self._within = within
        self._hosts: dict[str, Object] = {}
        self._owners: dict[str, str] = {}
        self._sessions: dict[str, str] = {}
        self.problems: list[str] = []

    def host(self, name: str, asn: Any, addresses: list[str]) -> None:
        """Add a host, with its ASN and the addresses of its sessions, which no other host has."""
        if name in self._hosts:
            self.problems.append(f"host {name}: there are two of this name")
            return
        if not asn or not addresses or not all(addresses):
            self.problems.append(f"host {name}: needs an ASN and an address")
            return
        try:
            number = read_asn(asn)
            neighbors = [str(ip_address(address)) for address in addresses]
        except ValueError as error:
            self.problems.append(f"host {name}: {error}")
            return
        for neighbor in neighbors:
            if (other := self._sessions.setdefault(neighbor, name)) != name:
                self.problems.append(f"host {name}: its address {neighbor} is that of {other}")
        host = {"name": name, "asn": number, "neighbors": neighbors, "prefixes": []}
        self._hosts[name] = host

    def names(self) -> list[str]:
        """Return the names of the hosts so far."""
        return list(self._hosts)

    def owns(self, names: list[str], prefix: str, guest: str, *, is_shared: bool = False) -> None:
        """Let hosts announce the prefix of a guest, unless it is outside of `--within`.
        `is_shared`: several guests may have it."""
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
        """Return the truth in its native form, in an order that depends on its content only."""
        if self.problems:
            raise SourceError("\n".join(sorted(self.problems)))
        hosts = sorted(self._hosts.values(), key=lambda host: host["name"])
        for host in hosts:
            host["prefixes"].sort(key=_order)
        revision = hashlib.sha256(json.dumps(hosts).encode()).hexdigest()[:12]
        now = datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
        metadata = {"revision": revision, "source": source, "generated": now}
        return {"hosts": hosts, "metadata": metadata}


def read_asn(text: Any) -> int:
    """Read an ASN: a number, "AS65001", or "1.10" (RFC 5396), which Calico accepts too."""
    high, dot, low = str(text).upper().removeprefix("AS").rpartition(".")
    if not low.isdecimal() or (dot and not high.isdecimal()):
        raise ValueError(f"{text!r} is no ASN")
    return (int(high) << 16) + int(low) if dot else int(low)


def _covers(outer: Any, inner: Any) -> bool:
    return outer.version == inner.version and inner.subnet_of(outer)


def _order(prefix: str) -> tuple[int, Any]:
    network = ip_network(prefix)
    return network.version, network


# The file ------------------------------------------------------------------------------------


def losses(old: Object, new: Object) -> dict[str, tuple[int, int]]:
    """Count the hosts and prefixes of the old truth that the new one lacks; return each count and
    the old total."""
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
    """Raise SourceError if more than `most` percent of the existing file would be lost. A single
    host or prefix may always go, unless it is the last."""
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
    """Replace the file in one step, so that no reader sees half of it."""
    draft = path.with_name(path.name + ".new")
    draft.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    draft.replace(path)


# The command line ----------------------------------------------------------------------------


def arguments(description: str) -> argparse.ArgumentParser:
    """Return a parser with the arguments that every exporter has."""
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
    """Return a secret of the environment, which no list of processes shows."""
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
    except urllib.error.HTTPError as error:
        sys.stderr.write(f"{error.url}: {error}\n")
        return 1
    except (SourceError, OSError, ValueError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    except (KeyError, TypeError, AttributeError) as error:
        sys.stderr.write(f"an answer of another form than this API has: {error!r}\n")
        return 1
    return 0
