#!/usr/bin/env python3
"""A truth file from NetBox: who may announce which guests.

    NETBOX_TOKEN=… netbox_truth.py --url https://netbox.example.net -o truth.json
    rsfilter truth check truth.json

Needs nothing but Python and read access to NetBox 3.6 or later. What it reads, and what that means:

- Devices with the role `hypervisor` (`--role`) and status active, with the custom field `bgp_asn`
  (an integer): one host each, with or without guests: its session is there before the first one
  is. Its neighbors are its primary addresses, IPv4 and IPv6: its sessions come from there and from
  nowhere else.
- Virtual machines, active: the guests. Their primary addresses may be announced by the device that
  they are placed on, or, where NetBox knows only their cluster, by every hypervisor of that
  cluster: they may migrate inside it.

What cannot be so is an error, and no file is written: a hypervisor without ASN or address, a guest
with neither device nor cluster. The same objects give the same bytes; `metadata` names the last
change of any of them.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import urllib.parse
import urllib.request
from collections.abc import Iterable, Iterator
from http.client import HTTPException
from ipaddress import ip_interface, ip_network
from pathlib import Path
from typing import Any

Object = dict[str, Any]

PAGE = 500
"""Objects asked for at once; NetBox allows 1,000."""

TIMEOUT_S = 60.0


class InconsistentError(Exception):
    """NetBox says something that no truth can be made of; one line for each."""


def truth(devices: Iterable[Object], machines: Iterable[Object]) -> Object:
    """The truth, from NetBox's objects as its API prints them. Raises InconsistentError."""
    devices, machines = sorted(devices, key=_name), sorted(machines, key=_name)
    problems: list[str] = []
    hosts: dict[int, Object] = {}
    by_cluster: dict[int, list[int]] = {}
    for device in devices:
        asn = (device.get("custom_fields") or {}).get("bgp_asn")
        neighbors = _addresses(device)
        if not asn or not neighbors:
            problems.append(f"device {device['name']}: needs bgp_asn and a primary address")
            continue
        host = {"name": device["name"], "asn": asn, "neighbors": neighbors, "prefixes": []}
        hosts[device["id"]] = host
        if cluster := device.get("cluster"):
            by_cluster.setdefault(cluster["id"], []).append(device["id"])
    for machine in machines:
        if device := machine.get("device"):
            owners = [device["id"]]
        else:
            owners = by_cluster.get((machine.get("cluster") or {}).get("id", 0), [])
        owners = [owner for owner in owners if owner in hosts]
        if not owners:
            problems.append(f"virtual machine {machine['name']}: no hypervisor may announce it")
        for owner in owners:
            hosts[owner]["prefixes"] += [str(ip_network(a)) for a in _addresses(machine)]
    if problems:
        raise InconsistentError("\n".join(problems))
    changed = max((o["last_updated"] for o in (*devices, *machines)), default="")
    return {
        "hosts": list(hosts.values()),
        "metadata": {"revision": changed, "author": "NetBox", "generated": changed},
    }


def _name(item: Object) -> tuple[str, int]:
    return item["name"] or "", item["id"]


def _addresses(item: Object) -> list[str]:
    """Its primary addresses, without the length of the network that they are in."""
    primary = (item.get("primary_ip4"), item.get("primary_ip6"))
    return [str(ip_interface(found["address"]).ip) for found in primary if found]


class _Stay(urllib.request.HTTPRedirectHandler):
    """A redirection is an error: wherever it leads, the token would go along."""

    def redirect_request(self, *_: Any) -> None:
        """To nowhere."""


def fetch(url: str, token: str, path: str, **filters: str) -> Iterator[Object]:
    """Every object of an endpoint, page by page. Raises OSError."""
    query = urllib.parse.urlencode({**filters, "limit": PAGE})
    page: str | None = f"{url.rstrip('/')}/api/{path}/?{query}"
    opener = urllib.request.build_opener(_Stay)
    while page:
        if not page.startswith(("https://", "http://")) or _origin(page) != _origin(url):
            raise OSError(f"not an address of {url}, which alone may have the token: {page}")
        request = urllib.request.Request(page, headers={"Authorization": f"Token {token}"})  # noqa: S310
        with opener.open(request, timeout=TIMEOUT_S) as answer:
            document = json.load(answer)
        if not isinstance(document, dict) or not {"results", "next"} <= document.keys():
            raise OSError(f"not an answer of NetBox: {page}")
        yield from document["results"]
        page = document["next"]


def _origin(url: str) -> tuple[str, str]:
    """Scheme, host and port."""
    return urllib.parse.urlsplit(url)[:2]


def main() -> int:
    parser = argparse.ArgumentParser(description="Writes a truth file from NetBox.")
    parser.add_argument("--url", required=True, help="NetBox, as https://netbox.example.net")
    parser.add_argument("--role", default="hypervisor", help="slug of the device role")
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="FILE")
    args = parser.parse_args()
    token = os.environ.get("NETBOX_TOKEN", "")
    try:
        devices = fetch(args.url, token, "dcim/devices", role=args.role, status="active")
        machines = fetch(args.url, token, "virtualization/virtual-machines", status="active")
        document = truth(devices, machines)
        draft = args.output.with_name(args.output.name + ".new")
        draft.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
        draft.replace(args.output)  # at once: a reader never sees half a file
    except (InconsistentError, OSError, HTTPException, ValueError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
