#!/usr/bin/env python3
"""A truth file from Kubernetes: which nodes may announce services and Calico's blocks.

    KUBERNETES_TOKEN=… kubernetes_truth.py --url https://10.0.0.1:6443 --ca-file ca.crt \
        --within 203.0.113.0/24 -o truth.json
    rsfilter truth check truth.json

Needs Python, truth_export.py beside it, and a service account that may list nodes and services,
and get or list bgpconfigurations and ipamblocks of Calico's API group: crd.projectcalico.org, or
projectcalico.org if Calico (3.32 and later) has its native CRDs. The script reads:

- Nodes. Each is a host. ASN and addresses are Calico's (annotations projectcalico.org/ASNumber,
  IPv4Address and IPv6Address). A node without an ASN of its own has that of the BGPConfiguration
  `default`, of `--asn`, or Calico's default, 64512. With `--no-calico` the ASN is `--asn`, and the
  addresses are the node's internal ones. A node may edit its own annotations, so list the nodes'
  range, and nothing more, in `[[hosts]]`.
- Services of type LoadBalancer. Addresses that the controller has assigned (status.loadBalancer)
  may be announced by every node, because pods move. An address whose ipMode is Proxy belongs to a
  load balancer elsewhere, and does not count. Neither does spec.externalIPs: a user who may create
  a service could write any address there.
- Blocks of Calico's IPAM. A block may be announced by the node to which it is affine. The host
  group needs the length of the blocks (`ipv4_lengths = [26, 32]`). Addresses that a node borrows
  from another node's block are not covered: set `strictAffinity`.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from ipaddress import ip_interface
from urllib.error import HTTPError

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

CALICO, NATIVE_CALICO = "/apis/crd.projectcalico.org/v1", "/apis/projectcalico.org/v3"

CALICO_ASN = 64512
"""Calico's default."""


def listed(api: Client, path: str) -> Iterator[Object]:
    """Yield every object of a list. The last page has no token for another."""

    def following(page: Object) -> Object | None:
        more = page["metadata"].get("continue")
        return api.get(path, limit=PAGE, **{"continue": more}) if more else None

    for page in pages(lambda: api.get(path, limit=PAGE), following):
        yield from member(page, "items", list, path)


def collect(args: argparse.Namespace, truth: Truth) -> None:
    api = Client(args.url, {"Authorization": f"Bearer {secret('KUBERNETES_TOKEN')}"}, args)
    calico = None if args.no_calico else _calico(api)
    common = (_common_asn(api, calico) or args.asn or CALICO_ASN) if calico else args.asn
    for node in listed(api, "/api/v1/nodes"):
        name, notes = node["metadata"]["name"], node["metadata"].get("annotations") or {}
        if not calico:
            found = node["status"]["addresses"]
            addresses = [each["address"] for each in found if each["type"] == "InternalIP"]
            truth.host(name, common, addresses)
        else:
            bound = (notes.get(f"projectcalico.org/IPv{n}Address") for n in (4, 6))
            addresses = [str(ip_interface(each).ip) for each in bound if each]
            truth.host(name, notes.get("projectcalico.org/ASNumber") or common, addresses)
    for service in listed(api, "/api/v1/services"):
        if service["spec"].get("type") == "LoadBalancer":
            name = f"service {service['metadata']['namespace']}/{service['metadata']['name']}"
            for ingress in service["status"].get("loadBalancer", {}).get("ingress") or []:
                address = ingress.get("ip")  # a cloud's has a hostname instead
                if address and ingress.get("ipMode") != "Proxy":
                    truth.owns(truth.names(), address, name, is_shared=True)
    if calico:
        for block in listed(api, f"{calico}/ipamblocks"):
            kind, _, owner = (block["spec"].get("affinity") or "").partition(":")
            if kind == "host" and not block["spec"].get("deleted"):
                truth.owns([owner], block["spec"]["cidr"], f"block {block['metadata']['name']}")


def _calico(api: Client) -> str:
    """Return the path of Calico's API group. Older resources stay behind after a migration to
    native CRDs, so these come first."""
    try:
        resources = member(api.get(NATIVE_CALICO), "resources", list, NATIVE_CALICO)
    except HTTPError as error:
        if error.code != 404:
            raise
        return CALICO
    is_native = any(each["name"] == "ipamblocks" for each in resources)
    return NATIVE_CALICO if is_native else CALICO


def _common_asn(api: Client, calico: str) -> int | None:
    """Return the configured ASN of nodes without their own."""
    try:
        found = api.get(f"{calico}/bgpconfigurations/default")["spec"].get("asNumber")
    except HTTPError as error:
        if error.code != 404:
            raise
        return None
    if found is not None and not isinstance(found, int):
        raise SourceError(f"bgpconfigurations/default: asNumber {found!r} is no number")
    return found


def main() -> int:
    parser = arguments("Writes a truth file from Kubernetes.")
    parser.add_argument("--url", required=True, help="the API server, as https://10.0.0.1:6443")
    parser.add_argument("--asn", type=int, help="of nodes that have none by Calico")
    parser.add_argument("--no-calico", action="store_true", help="nodes and services alone")
    args = parser.parse_args()
    return export(args, f"Kubernetes {args.url}", collect)


if __name__ == "__main__":
    sys.exit(main())
