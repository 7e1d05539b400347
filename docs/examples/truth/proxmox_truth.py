#!/usr/bin/env python3
"""A truth file from a Proxmox VE cluster: who may announce which guests.

    PROXMOX_TOKEN='truth@pve!export=UUID' proxmox_truth.py --url https://pve1.example.net:8006 \
        --within 203.0.113.0/24 -o truth.json
    rsfilter truth check truth.json

Needs Python, truth_export.py beside it, and an API token with the role PVEAuditor on /. With fewer
rights the API leaves objects out without an error. The script reads:

- Nodes of the cluster that have a BGP controller in the running configuration of the SDN
  (Datacenter, SDN, Options). Each is a host, with the controller's ASN. Its neighbor is the node's
  address in the cluster, or the one in `--address NODE=ADDRESS`. A node without a controller may
  have no guest of `--within`.
- Virtual machines and containers, except templates. They are the guests. Their static addresses
  (ipconfigN of cloud-init, netN of containers) may be announced by their node, or with `--anywhere`
  by all nodes, so that a migration needs no new truth. A change that is pending until the guest
  restarts does not count. Addresses from DHCP, and addresses that a guest's agent reports, do not
  count either, because a guest could report any address.

Two guests with one address are an error. A user who may edit a guest's cloud-init settings decides
what it owns: limit that to the guests' ranges with `--within`.
"""

from __future__ import annotations

import argparse
import re
import sys
import urllib.parse
from collections.abc import Iterator
from ipaddress import ip_interface

from truth_export import Client, Object, SourceError, Truth, arguments, export, member, secret

_INTERFACE = re.compile(r"(ipconfig|net)\d+")
_DYNAMIC = {"dhcp", "auto", "manual"}


def listed(api: Client, path: str, **query: str) -> list[Object]:
    """Return every object of a list. This API has no pages."""
    found: list[Object] = member(api.get(f"/api2/json{path}", **query), "data", list, path)
    return found


def collect(args: argparse.Namespace, truth: Truth) -> None:
    api = Client(args.url, {"Authorization": f"PVEAPIToken={secret('PROXMOX_TOKEN')}"}, args)
    controllers = listed(api, "/cluster/sdn/controllers", running="1")
    asns = {each["node"]: each["asn"] for each in controllers if each["type"] == "bgp"}
    own = dict(args.address)
    if strange := own.keys() - asns.keys():
        raise SourceError(f"--address: no BGP controller on {', '.join(sorted(strange))}")
    for node in listed(api, "/cluster/status"):
        if node["type"] == "node" and node["name"] in asns:
            addresses = own.get(node["name"]) or [node.get("ip")]
            truth.host(node["name"], asns[node["name"]], addresses)
    if missing := asns.keys() - set(truth.names()):
        raise SourceError(f"no address of {', '.join(sorted(missing))} in /cluster/status")
    for guest in listed(api, "/cluster/resources", type="vm"):
        if not guest.get("template"):
            owners = truth.names() if args.anywhere else [guest["node"]]
            for address in _addresses(api, guest):
                truth.owns(owners, address, f"guest {guest['vmid']}")


def _addresses(api: Client, guest: Object) -> Iterator[str]:
    """Yield the static addresses that a guest has now."""
    node = urllib.parse.quote(guest["node"], safe="")
    path = f"/api2/json/nodes/{node}/{guest['type']}/{int(guest['vmid'])}/config"
    for key, value in sorted(member(api.get(path, current="1"), "data", dict, path).items()):
        if _INTERFACE.fullmatch(key):
            for part in str(value).split(","):
                name, _, address = part.partition("=")
                if name in ("ip", "ip6") and address not in _DYNAMIC:
                    yield str(ip_interface(address).ip)


def _address(text: str) -> tuple[str, list[str]]:
    name, _, addresses = text.partition("=")
    if not name or not addresses:
        raise argparse.ArgumentTypeError("NODE=ADDRESS[,ADDRESS]")
    return name, addresses.split(",")


def main() -> int:
    parser = arguments("Writes a truth file from Proxmox VE.")
    parser.add_argument("--url", required=True, help="a node, as https://pve1.example.net:8006")
    parser.add_argument(
        "--anywhere", action="store_true", help="every node may announce every guest"
    )
    parser.add_argument(
        "--address",
        type=_address,
        action="append",
        default=[],
        metavar="NODE=ADDRESS[,ADDRESS]",
        help="where a node's sessions come from (default: its address in the cluster)",
    )
    args = parser.parse_args()
    return export(args, f"Proxmox VE {args.url}", collect)


if __name__ == "__main__":
    sys.exit(main())
