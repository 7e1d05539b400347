#!/usr/bin/env python3
"""A truth file from OpenStack (Keystone, Nova, Neutron): who may announce which guests.

    OS_APPLICATION_CREDENTIAL_SECRET=… openstack_truth.py --url https://keystone.example.net/v3 \
        --credential ID --network NETWORK-ID -o truth.json
    rsfilter truth check truth.json

Needs Python, truth_export.py beside it, and an application credential of a user who may list
hypervisors, aggregates and the ports of all projects with their hosts (the role admin, or reader
with policies that permit it). The script reads:

- Host aggregates with the property `bgp_asn` (`openstack aggregate set --property bgp_asn=65001`).
  Their hosts have this ASN. Each hypervisor among them is a host, with its host_ip as neighbor. A
  guest on any other hypervisor is an error.
- Ports of servers, and floating IPs, on the networks that `--network` names. (Other networks belong
  to projects, and their addresses overlap.) An address may be announced by the host to which the
  port is bound, and during a migration also by the host to which the server moves.

Allowed address pairs do not count, because projects write them themselves.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from urllib.parse import parse_qs, urlsplit

from truth_export import (
    Client,
    Object,
    SourceError,
    Truth,
    arguments,
    export,
    member,
    pages,
    secret,
)

PAGE = 500

NOVA = {"X-OpenStack-Nova-API-Version": "2.53", "OpenStack-API-Version": "compute 2.53"}
"""Version of Pike (2017), the first that lists hypervisors in pages, by UUID."""


def connect(args: argparse.Namespace) -> tuple[Client, Client]:
    """Return the clients of Nova and Neutron, which the catalog names."""
    credential = {"id": args.credential, "secret": secret("OS_APPLICATION_CREDENTIAL_SECRET")}
    identity = {"methods": ["application_credential"], "application_credential": credential}
    keystone = Client(args.url, {}, args)
    answer, headers = keystone.request(
        f"{keystone.url}/auth/tokens", {"auth": {"identity": identity}}
    )
    token = headers["X-Subject-Token"]
    if not token:
        raise SourceError(f"{args.url}: no token in the answer")
    catalog = member(answer["token"], "catalog", list, args.url)
    headers = {"X-Auth-Token": token}
    return (
        Client(_endpoint(catalog, "compute", args), headers | NOVA, args),
        Client(_endpoint(catalog, "network", args).removesuffix("/v2.0"), headers, args),
    )


def _endpoint(catalog: list[Object], kind: str, args: argparse.Namespace) -> str:
    found = {
        endpoint["url"].rstrip("/")
        for service in catalog
        if service["type"] == kind
        for endpoint in service["endpoints"]
        if endpoint["interface"] == args.interface and args.region in (None, endpoint["region"])
    }
    if len(found) != 1:
        raise SourceError(f"{kind}: {len(found)} endpoints in the catalog; choose with --region")
    return found.pop()


def listed(api: Client, path: str, kind: str, **filters: str) -> Iterator[Object]:
    """Yield every object of a list. The last page has no link to another.

    Only the marker is taken from a link: behind a proxy that adds TLS its scheme is often wrong.
    """

    def following(page: Object) -> Object | None:
        links = [link["href"] for link in page.get(f"{kind}_links", []) if link["rel"] == "next"]
        if not links:
            return None
        markers = parse_qs(urlsplit(links[0]).query).get("marker")
        if not markers:
            raise SourceError(f"{path}: a link to the next page without a marker: {links[0]}")
        return api.get(path, limit=PAGE, marker=markers[0], **filters)

    for page in pages(lambda: api.get(path, limit=PAGE, **filters), following):
        yield from member(page, kind, list, path)


def collect(args: argparse.Namespace, truth: Truth) -> None:
    nova, neutron = connect(args)
    _hosts(nova, truth)
    hosts_of: dict[str, list[str]] = {}
    for port in listed(neutron, "/v2.0/ports", "ports"):
        if "binding:host_id" not in port:
            raise SourceError("/v2.0/ports: the credential may not read the hosts of ports")
        if port["device_owner"].startswith("compute:") and port["binding:host_id"]:
            hosts_of[port["id"]] = hosts = _bound_to(port)
            for fixed in port["fixed_ips"] if port["network_id"] in args.network else ():
                truth.owns(hosts, fixed["ip_address"], f"port {port['id']}")
    for network in args.network:
        path, filters = "/v2.0/floatingips", {"floating_network_id": network}
        for floating in listed(neutron, path, "floatingips", **filters):
            if hosts := hosts_of.get(floating["port_id"], []):
                address = floating["floating_ip_address"]
                truth.owns(hosts, address, f"floating IP {floating['id']}")


def _hosts(nova: Client, truth: Truth) -> None:
    asns: dict[str, str] = {}
    for aggregate in member(nova.get("/os-aggregates"), "aggregates", list, "os-aggregates"):
        asn = aggregate["metadata"].get("bgp_asn")
        for host in aggregate["hosts"] if asn else ():
            if asns.setdefault(host, asn) != asn:
                truth.problems.append(f"host {host}: bgp_asn {asns[host]} and {asn}")
    for hypervisor in listed(nova, "/os-hypervisors/detail", "hypervisors"):
        name = hypervisor["service"]["host"]
        if name in asns:
            truth.host(name, asns[name], [hypervisor["host_ip"]])


def _bound_to(port: Object) -> list[str]:
    """Return the host of a port, and during a migration also the host to which it moves."""
    goal = (port.get("binding:profile") or {}).get("migrating_to")
    return [port["binding:host_id"], *([goal] if goal else [])]


def main() -> int:
    parser = arguments("Writes a truth file from OpenStack.")
    parser.add_argument("--url", required=True, help="Keystone, as https://keystone.example.net/v3")
    parser.add_argument("--credential", required=True, metavar="ID", help="application credential")
    parser.add_argument(
        "--network",
        action="append",
        required=True,
        metavar="ID",
        help="a network whose addresses are announced; may be repeated",
    )
    parser.add_argument("--region", help="needed where the catalog has several")
    parser.add_argument("--interface", default="public", choices=["public", "internal", "admin"])
    args = parser.parse_args()
    return export(args, f"OpenStack {args.url}", collect)


if __name__ == "__main__":
    sys.exit(main())
