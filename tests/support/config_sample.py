"""The smallest configuration that tests of the whole program start from."""

from __future__ import annotations


def configuration(**of_hosts: int) -> str:
    """`rsfilter.toml`: one group of hosts, with further keys of theirs, one router, and a truth."""
    more = "".join(f"{key} = {value}\n" for key, value in of_hosts.items())
    return f"""
[route_server]
asn = 65100
router_id = "192.0.2.100"
local_address = "192.0.2.100"

[[hosts]]
name = "hypervisors"
neighbors = ["198.51.100.0/24"]
{more}
[[routers]]
name = "leaves"
neighbors = ["192.0.2.10"]
asn = 65200

[truth]
file = "truth.json"
"""
