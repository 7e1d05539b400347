"""Exporters of docs/examples/truth, as programs, against recorded answers of each API.

Every list is served one object a page, in the way in which that API has pages, and only to clients
that have the token.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
from support.places import FIXTURES, ROOT

from rsfilter.rpki.truth import parse_truth

SCRIPTS = ROOT / "docs" / "examples" / "truth"
RECORDED = FIXTURES / "exporters"
NETWORK = "9f0c2d5e-7b0a-4a55-9a3e-0c5b8d0f1a11"

TOKENS = {
    "netbox": ("NETBOX_TOKEN", "Authorization", "Token sesame"),
    "proxmox": ("PROXMOX_TOKEN", "Authorization", "PVEAPIToken=sesame"),
    "openstack": ("OS_APPLICATION_CREDENTIAL_SECRET", "X-Auth-Token", "a-token"),
    "kubernetes": ("KUBERNETES_TOKEN", "Authorization", "Bearer sesame"),
}
"""The variable of the secret `sesame`, and the header that shows it."""

OPTIONS = {
    "netbox": [],
    "proxmox": ["--within", "203.0.113.0/24", "--within", "2001:db8::/32"],
    "openstack": ["--credential", "an-id", "--network", NETWORK],
    "kubernetes": ["--within", "203.0.113.0/24", "--within", "10.244.0.0/16"],
}


def recorded(source: str) -> dict[str, Any]:
    """Answers by path, with the query where it matters."""
    if source != "netbox":
        found: dict[str, Any] = json.loads((RECORDED / f"{source}.json").read_text())
        return found
    return {
        f"/api/{place}/{name}/": json.loads((RECORDED / "netbox" / f"{name}.json").read_text())
        for place, name in (("dcim", "devices"), ("virtualization", "virtual-machines"))
    }


class Api:
    """The API of a source. What it answers may be changed."""

    def __init__(self, source: str) -> None:
        self.source = source
        self.answers = recorded(source)
        self.requests: list[str] = []
        self.redirects = self.next_is_elsewhere = self.is_slow = False
        self.raw: bytes | None = None
        """Error for every request, if it is set."""
        self.url = ""

    def answer(self, method: str, target: str, headers: Any) -> tuple[int, bytes]:
        self.requests.append(target)
        path = target if method == "GET" else f"{method} {target}"
        parts = urlsplit(path)
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        _, header, shown = TOKENS[self.source]
        if method == "GET" and headers[header] != shown:
            return 403, b"{}"
        if self.raw is not None:
            return 200, self.raw
        named = [key for key in self.answers if key.partition("?")[0] == parts.path]
        found = [
            key
            for key in named
            if parse_qs(urlsplit(key).query).items() <= parse_qs(parts.query).items()
        ]
        if not found:
            return 404, b'{"kind": "Status", "code": 404}'
        text = json.dumps(self.answers[found[0]]).replace("@SERVER@", self.url)
        return 200, json.dumps(self._paged(json.loads(text), parts.path, query)).encode()

    def _paged(self, document: Any, path: str, query: dict[str, str]) -> Any:
        """One object, and where the next one is."""
        base = self.url.replace("127.0.0.1", "localhost") if self.next_is_elsewhere else self.url
        if self.source == "netbox":
            at = int(query.get("offset", 0))
            more = at + 1 < len(document["results"])
            following = f"{base}{path}?{urlencode(query | {'offset': at + 1})}" if more else None
            return document | {"results": document["results"][at : at + 1], "next": following}
        if self.source == "kubernetes" and "items" in document:
            at = int(query.get("continue", 0))
            more = at + 1 < len(document["items"])
            metadata = document["metadata"] | ({"continue": str(at + 1)} if more else {})
            return document | {"items": document["items"][at : at + 1], "metadata": metadata}
        kind = path.rpartition("/")[2].replace("detail", "hypervisors")
        if self.source == "openstack" and kind in document and "limit" in query:
            at = int(query.get("marker", 0))
            page = {kind: document[kind][at : at + 1]}
            if at + 1 < len(document[kind]):
                href = f"{base}{path}?{urlencode(query | {'marker': at + 1})}"
                page[f"{kind}_links"] = [{"rel": "next", "href": href}]
            return page
        return document


def _handler(api: Api, stop: threading.Event) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if api.is_slow:
                stop.wait()
            if api.redirects:
                self.send_response(302)
                self.send_header("Location", f"http://localhost:{self.server.server_port}/")  # type: ignore[attr-defined]
                self.end_headers()
                return
            code, content = api.answer(self.command, self.path, self.headers)
            self.send_response(code)
            if self.command == "POST":
                self.send_header("X-Subject-Token", "a-token")
            self.end_headers()
            self.wfile.write(content)

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            shown = body["auth"]["identity"]["application_credential"]
            assert shown == {"id": "an-id", "secret": "sesame"}
            self.do_GET()

        def log_message(self, *_: object) -> None:
            """Log nothing."""

    return Handler


@pytest.fixture
def api(request: pytest.FixtureRequest) -> Iterator[Api]:
    found, stop = Api(request.param), threading.Event()
    with ThreadingHTTPServer(("127.0.0.1", 0), _handler(found, stop)) as server:
        found.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield found
        stop.set()
        server.shutdown()
        thread.join()


every = pytest.mark.parametrize("api", TOKENS, indirect=True)
only = {name: pytest.mark.parametrize("api", [name], indirect=True) for name in TOKENS}


def export(api: Api, output: Path, *more: str, token: str = "sesame") -> str:
    """Run the exporter. Return its output; empty if all is well."""
    url = api.url + ("/v3" if api.source == "openstack" else "")
    done = subprocess.run(
        [
            *(sys.executable, SCRIPTS / f"{api.source}_truth.py", "--url", url),
            *(*OPTIONS[api.source], *more, "-o", output),
        ],
        env=os.environ | {TOKENS[api.source][0]: token},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode == 0) == (done.stderr == ""), done
    assert "sesame" not in done.stderr
    assert "Traceback" not in done.stderr
    return done.stderr


def owned(output: Path) -> dict[str, tuple[int, list[str], list[str]]]:
    """The hosts, which rsfilter accepts: ASN, addresses of sessions, prefixes."""
    data = output.read_bytes()
    assert parse_truth(data, "truth.json", 0.0)
    return {
        host["name"]: (host["asn"], host["neighbors"], host["prefixes"])
        for host in json.loads(data)["hosts"]
    }


@pytest.fixture
def output(tmp_path: Path) -> Path:
    return tmp_path / "truth.json"


# Output of each -------------------------------------------------------------------------------


@only["netbox"]
def test_netbox_is_exported_as_hosts_with_their_guests(api: Api, output: Path) -> None:
    """web1 is placed on hv1; db1 may run on any hypervisor of its cluster; batch has no address."""
    assert export(api, output) == ""
    first = ["203.0.113.1/32", "203.0.113.2/32", "2001:db8:aa::1/128"]
    second = ["198.51.100.102", "2001:db8:c633:6401::102"]
    assert owned(output) == {
        "hv1": (4200000005, ["198.51.100.101"], first),
        "hv2": (4200000006, second, ["203.0.113.2/32"]),
    }


@only["proxmox"]
def test_proxmox_is_exported_as_hosts_with_their_guests(api: Api, output: Path) -> None:
    """pve3 has no controller, and of its guest no address is announced; DHCP is no address. A
    controller's ASN that is not applied, and a guest's address that waits for its restart, are not
    in force."""
    assert export(api, output) == ""
    assert owned(output) == {
        "pve1": (65001, ["198.51.100.101"], ["203.0.113.1/32", "2001:db8:aa::1/128"]),
        "pve2": (65002, ["198.51.100.102"], ["203.0.113.2/32", "203.0.113.3/32"]),
    }


@only["proxmox"]
def test_guests_that_migrate_in_proxmox_belong_to_both_hosts(api: Api, output: Path) -> None:
    assert export(api, output, "--anywhere", "--address", "pve1=192.0.2.1,2001:db8::1") == ""
    found = owned(output)
    assert found["pve1"][1] == ["192.0.2.1", "2001:db8::1"]
    assert found["pve1"][2] == found["pve2"][2]
    assert len(found["pve1"][2]) == 4


@only["openstack"]
def test_openstack_is_exported_as_hosts_with_their_guests(api: Api, output: Path) -> None:
    """The guest 203.0.113.2 migrates to cmp2; 203.0.113.40 is a floating IP. DHCP servers,
    gateways, unbound ports, private networks and allowed address pairs give no entry."""
    assert export(api, output) == ""
    first = ["203.0.113.1/32", "203.0.113.2/32", "2001:db8:aa::1/128"]
    assert owned(output) == {
        "cmp1": (65011, ["198.51.100.111"], first),
        "cmp2": (65011, ["198.51.100.112"], ["203.0.113.2/32", "203.0.113.40/32"]),
    }


@only["kubernetes"]
def test_kubernetes_is_exported_as_nodes_with_their_addresses(api: Api, output: Path) -> None:
    """The host node1 has the cluster's ASN. externalIPs, addresses of a proxy, and blocks without a
    node are left out."""
    assert export(api, output) == ""
    addresses = ["198.51.100.122", "2001:db8:c633:6401::122"]
    assert owned(output) == {
        "node1": (64512, ["198.51.100.121"], ["10.244.1.0/26", "203.0.113.10/32"]),
        "node2": (65022, addresses, ["10.244.2.0/26", "203.0.113.10/32"]),
    }


@only["kubernetes"]
def test_native_resources_of_calico_are_exported(api: Api, output: Path) -> None:
    """Records that an older Calico has left behind do not count."""
    old, new = "/apis/crd.projectcalico.org/v1", "/apis/projectcalico.org/v3"
    moved = {path.replace(old, new): found for path, found in api.answers.items() if old in path}
    for path in [path for path in api.answers if old in path]:
        api.answers[path] = {"kind": "List", "metadata": {}, "spec": {}, "items": []}
    kinds = [{"name": "bgpconfigurations"}, {"name": "ippools"}]
    api.answers |= {new: {"kind": "APIResourceList", "resources": kinds}, **moved}
    assert export(api, output) == ""
    assert owned(output)["node1"][2] == ["203.0.113.10/32"], "an API server beside the old ones"
    kinds.append({"name": "ipamblocks"})
    assert export(api, output) == ""
    assert owned(output)["node1"] == (
        64512,
        ["198.51.100.121"],
        ["10.244.1.0/26", "203.0.113.10/32"],
    )


@only["kubernetes"]
def test_nodes_have_the_default_asn_of_calico(api: Api, output: Path) -> None:
    del api.answers["/apis/crd.projectcalico.org/v1/bgpconfigurations/default"]
    node = api.answers["/api/v1/nodes"]["items"][1]
    node["metadata"]["annotations"]["projectcalico.org/ASNumber"] = "1.10"
    assert export(api, output) == ""
    assert {name: host[0] for name, host in owned(output).items()} == {
        "node1": 64512,
        "node2": 65546,
    }
    assert export(api, output, "--asn", "65030", "--max-shrink", "100") == ""
    assert owned(output)["node1"][0] == 65030


@only["kubernetes"]
def test_kubernetes_without_calico_is_exported(api: Api, output: Path) -> None:
    api.answers = {
        path: found for path, found in api.answers.items() if "projectcalico" not in path
    }
    assert export(api, output, "--no-calico", "--asn", "65030") == ""
    assert owned(output) == {
        name: (65030, [address], ["203.0.113.10/32"])
        for name, address in (("node1", "198.51.100.121"), ("node2", "198.51.100.122"))
    }
    assert "need" in export(api, output, "--no-calico")


# What all do ---------------------------------------------------------------------------------


@every
def test_the_file_names_its_source_and_time(api: Api, output: Path) -> None:
    assert export(api, output) == ""
    first = json.loads(output.read_bytes())
    assert api.url in first["metadata"]["source"]
    assert first["metadata"]["generated"].endswith("Z")
    assert export(api, output) == ""
    second = json.loads(output.read_bytes())
    assert second["metadata"]["revision"] == first["metadata"]["revision"]
    assert second["hosts"] == first["hosts"]
    assert list(output.parent.iterdir()) == [output]


def fails(api: Api, output: Path, *more: str, token: str = "sesame") -> str:
    """Run it where it must fail: the file that is there stays. Return the one line."""
    output.write_text('{"hosts": []}')
    printed = export(api, output, *more, token=token)
    assert printed
    assert output.read_text() == '{"hosts": []}'
    return printed


@every
def test_a_source_that_refuses(api: Api, output: Path) -> None:
    if api.source == "openstack":
        api.answers = {}
    printed = fails(api, output) if api.source == "openstack" else fails(api, output, token="wrong")
    assert "40" in printed


@every
def test_an_export_without_a_token_sends_no_request(api: Api, output: Path) -> None:
    assert "is not set" in fails(api, output, token="")
    assert api.requests == []


@every
@pytest.mark.parametrize("raw", [b"<html>", b"[]", b'{"data": 1, "items": null}'])
def test_an_answer_of_something_else(api: Api, output: Path, raw: bytes) -> None:
    api.raw = raw
    fails(api, output)


@every
def test_the_token_follows_no_redirection(api: Api, output: Path) -> None:
    api.redirects = True
    assert "302" in fails(api, output)


@only["openstack"]
def test_a_link_to_the_next_page_may_have_another_scheme_and_host(api: Api, output: Path) -> None:
    """Links are so behind a proxy of which Neutron does not know: only the marker counts."""
    api.next_is_elsewhere = True
    assert export(api, output) == ""
    assert len(owned(output)) == 2


@only["netbox"]
def test_the_token_follows_no_link_to_another_host(api: Api, output: Path) -> None:
    """Another name of the same machine is another host."""
    api.next_is_elsewhere = True
    assert "may have the token" in fails(api, output)
    assert all("offset=1" not in request for request in api.requests)


@only["proxmox"]
def test_a_source_that_hangs_is_an_error(api: Api, output: Path) -> None:
    api.is_slow = True
    printed = fails(api, output, "--timeout", "0.2")
    assert printed.startswith(f"{api.url}/api2/json/cluster/sdn/controllers?running=1: ")
    assert "timed out" in printed


@only["kubernetes"]
def test_a_list_without_an_end(api: Api, output: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(SCRIPTS))
    import truth_export

    monkeypatch.setattr(truth_export, "MAX_PAGES", 3)
    with pytest.raises(truth_export.SourceError, match="more than 3 pages"):
        list(truth_export.pages(dict, lambda _: {}))


# Contradictions ------------------------------------------------------------------------------


@only["netbox"]
def test_a_netbox_that_contradicts_itself_is_an_error(api: Api, output: Path) -> None:
    devices = api.answers["/api/dcim/devices/"]["results"]
    devices[0]["custom_fields"]["bgp_asn"] = None
    devices[1]["primary_ip4"] = None
    printed = fails(api, output).splitlines()
    assert printed[:2] == [
        "host hv1: needs an ASN and an address",
        "host hv2: needs an ASN and an address",
    ]
    assert "virtual machine web1: no host that could announce 203.0.113.1/32" in printed


@only["proxmox"]
def test_one_address_of_two_guests_is_an_error(api: Api, output: Path) -> None:
    """A tenant has written a neighbor's address into his own guest."""
    config = api.answers["/api2/json/nodes/pve2/qemu/101/config?current=1"]["data"]
    config["ipconfig0"] = "ip=203.0.113.1/32"
    assert fails(api, output) == "203.0.113.1/32 is guest 100's, and guest 101's too\n"


@only["proxmox"]
def test_a_guest_on_a_node_that_announces_nothing(api: Api, output: Path) -> None:
    config = api.answers["/api2/json/nodes/pve3/qemu/103/config?current=1"]["data"]
    config["ipconfig0"] = "ip=203.0.113.7/32"
    assert "guest 103: no host that could announce 203.0.113.7/32" in fails(api, output)


@only["proxmox"]
def test_a_node_whose_address_is_unknown(api: Api, output: Path) -> None:
    del api.answers["/api2/json/cluster/status"]["data"][1]["ip"]
    assert fails(api, output) == "no address of pve1 in /cluster/status\n"
    assert export(api, output, "--max-shrink", "100", "--address", "pve1=198.51.100.9") == ""


@only["proxmox"]
def test_a_node_that_does_not_answer_is_named(api: Api, output: Path) -> None:
    """The cluster requests the settings of guests from their node."""
    del api.answers["/api2/json/nodes/pve2/qemu/101/config"]
    del api.answers["/api2/json/nodes/pve2/qemu/101/config?current=1"]
    assert "/nodes/pve2/qemu/101/config" in fails(api, output)


@only["openstack"]
def test_a_credential_that_may_not_read_the_hosts_of_ports(api: Api, output: Path) -> None:
    for port in api.answers["/networking/v2.0/ports"]["ports"]:
        del port["binding:host_id"], port["binding:profile"]
    assert "may not read the hosts of ports" in fails(api, output)


@only["openstack"]
@pytest.mark.parametrize("address", [None, "", "cmp1.example.net"])
def test_a_hypervisor_without_an_address_is_an_error(
    api: Api, output: Path, address: str | None
) -> None:
    api.answers["/compute/v2.1/os-hypervisors/detail"]["hypervisors"][0]["host_ip"] = address
    assert "host cmp1: " in fails(api, output)


@only["openstack"]
def test_a_hypervisor_with_two_asns_is_an_error(api: Api, output: Path) -> None:
    api.answers["/compute/v2.1/os-aggregates"]["aggregates"][1]["metadata"]["bgp_asn"] = "65012"
    assert "host cmp1: bgp_asn 65011 and 65012" in fails(api, output)


@only["kubernetes"]
def test_a_node_without_an_address_is_an_error(api: Api, output: Path) -> None:
    node = api.answers["/api/v1/nodes"]["items"][0]
    del node["metadata"]["annotations"]["projectcalico.org/IPv4Address"]
    assert "host node1: needs an ASN and an address" in fails(api, output)


@only["kubernetes"]
def test_a_node_with_the_address_of_another_is_an_error(api: Api, output: Path) -> None:
    """Its own annotations are what a node that was taken over may write."""
    nodes = api.answers["/api/v1/nodes"]["items"]
    nodes[1]["metadata"]["annotations"]["projectcalico.org/IPv4Address"] = "198.51.100.121/25"
    assert "host node2: its address 198.51.100.121 is that of node1" in fails(api, output)


# Half a source -------------------------------------------------------------------------------


@only["proxmox"]
@pytest.mark.parametrize(
    ("kept", "is_refused"),
    [(4, False), (3, False), (2, True), (0, True)],
    ids=["all", "one has gone", "half", "none"],
)
def test_half_an_answer_is_not_half_a_truth(
    api: Api, output: Path, kept: int, is_refused: bool
) -> None:
    """Two of three guests with addresses may not go at once, one may."""
    assert export(api, output) == ""
    before = output.read_bytes()
    guests = api.answers["/api2/json/cluster/resources?type=vm"]["data"]
    with_addresses = [guest for guest in guests if guest["vmid"] in (101, 102)]
    web = next(guest for guest in guests if guest["vmid"] == 100)
    chosen = {4: [web, *with_addresses], 3: [web, with_addresses[0]], 2: with_addresses[:1], 0: []}
    guests[:] = chosen[kept]
    printed = export(api, output)
    assert ("would be lost" in printed) == is_refused
    if is_refused:
        assert output.read_bytes() == before
        assert export(api, output, "--max-shrink", "100") == ""
        assert output.read_bytes() != before


@only["kubernetes"]
def test_hosts_that_go_are_counted_too(api: Api, output: Path) -> None:
    """No prefix is lost with a host where each may announce everything."""
    del api.answers["/apis/crd.projectcalico.org/v1/ipamblocks"]["items"][:]
    nodes = api.answers["/api/v1/nodes"]["items"]
    template = json.dumps(nodes[0])
    nodes[:] = [
        json.loads(template.replace("node1", f"n{i}").replace("198.51.100.121", f"198.51.100.{i}"))
        for i in range(1, 9)
    ]
    assert export(api, output) == ""
    del nodes[2:]
    assert "6 of 8 hosts would be lost" in export(api, output)


@only["netbox"]
def test_a_file_that_is_no_truth_is_not_replaced(api: Api, output: Path) -> None:
    output.write_text("something else")
    assert "not a truth to compare with" in export(api, output)
    assert output.read_text() == "something else"


@only["netbox"]
def test_a_place_that_cannot_be_written(api: Api, tmp_path: Path) -> None:
    printed = export(api, tmp_path / "no" / "truth.json")
    assert printed.endswith(f"No such file or directory: '{tmp_path}/no/truth.json.new'\n")
