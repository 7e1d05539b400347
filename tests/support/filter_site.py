"""A filter with one truth, one host and one router: configuration and addresses."""

from __future__ import annotations

from pathlib import Path

from support.config_sample import configuration

ROUTER, HOST, OTHER = "192.0.2.10", "198.51.100.1", "198.51.100.2"


ROUTERS = {ROUTER: 65200}


CONFIG = configuration(max_prefixes=1_000_000)


TRUTH = {
    "roas": [
        {"prefix": "203.0.113.0/24", "maxLength": 32, "asn": "AS65001"},
        {"prefix": "10.0.0.0/8", "maxLength": 32, "asn": "AS65001"},
        {"prefix": "2001:db8::/32", "maxLength": 128, "asn": "AS65001"},
    ]
}


def logged(directory: Path) -> bytes:
    """Lines of all files of an audit log."""
    return b"".join(path.read_bytes() for path in directory.glob("audit-*.jsonl"))


def is_alive(pid: int) -> bool:
    """Neither gone, nor a zombie that waits for the process that inherited it."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return False
    return status.rpartition(")")[2].split()[0] != "Z"
