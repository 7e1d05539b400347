#!/usr/bin/env python3
"""A truth file from NetBox: who may announce which guests.

    NETBOX_TOKEN=… netbox_truth.py --url https://netbox.example.net -o truth.json
    rsfilter truth check truth.json

Needs Python, truth_export.py beside it, and read access to NetBox 3.6 or later. The script reads:

- Active devices with the role `hypervisor` (`--role`) and the custom field `bgp_asn` (an integer).
  Each is a host, also without guests, because its session comes up before its first guest. Its
  neighbors are its primary addresses, IPv4 and IPv6: its sessions may come from no other address.
- Active virtual machines. They are the guests. Their primary addresses may be announced by the
  device on which they are placed. If NetBox knows only their cluster, every hypervisor of that
  cluster may announce them, because they may migrate. Several guests may have the same address
  (anycast).
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from ipaddress import ip_interface

from truth_export import Client, Object, Truth, arguments, export, member, pages, secret

PAGE = 500
"""Objects of one page; NetBox allows 1,000."""


def listed(api: Client, path: str, **filters: str) -> Iterator[Object]:
    """Yield every object of an endpoint."""
    for page in pages(
        lambda: api.get(f"/api/{path}/", **filters, limit=PAGE),
        lambda page: api.get(page["next"]) if page["next"] else None,
    ):
        yield from member(page, "results", list, path)


def collect(args: argparse.Namespace, truth: Truth) -> None:
    api = Client(args.url, {"Authorization": f"Token {secret('NETBOX_TOKEN')}"}, args)
    clusters: dict[int, list[str]] = {}
    for device in listed(api, "dcim/devices", role=args.role, status="active"):
        asn = (device.get("custom_fields") or {}).get("bgp_asn")
        truth.host(device["name"], asn, _addresses(device))
        if cluster := device.get("cluster"):
            clusters.setdefault(cluster["id"], []).append(device["name"])
    for guest in listed(api, "virtualization/virtual-machines", status="active"):
        if device := guest.get("device"):
            owners = [device["name"]]
        else:
            owners = clusters.get((guest.get("cluster") or {}).get("id", 0), [])
        for address in _addresses(guest):
            truth.owns(owners, address, f"virtual machine {guest['name']}", is_shared=True)


def _addresses(item: Object) -> list[str]:
    """Return the primary addresses, without the length of their network."""
    primary = (item.get("primary_ip4"), item.get("primary_ip6"))
    return [str(ip_interface(found["address"]).ip) for found in primary if found]


def main() -> int:
    parser = arguments("Writes a truth file from NetBox.")
    parser.add_argument("--url", required=True, help="NetBox, as https://netbox.example.net")
    parser.add_argument("--role", default="hypervisor", help="slug of the device role")
    args = parser.parse_args()
    return export(args, f"NetBox {args.url}", collect)


if __name__ == "__main__":
    sys.exit(main())
