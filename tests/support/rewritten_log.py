"""An audit log that was changed."""

from __future__ import annotations

from pathlib import Path

from support.fleet_samples import QuickDisk, lines

from rsfilter.audit.chain import GENESIS, Link, claimed_link, seal
from rsfilter.audit.files import list_keys, write_head


def rewritten(directory: Path, seq: int) -> None:
    """Change one record as root could: seal all that follow anew, and `head.json` too."""
    prev, out = GENESIS, b""
    for line in lines(directory):
        link = claimed_link(line)
        members = line[line.index(b'Z",') + 3 : line.rindex(b',"prev":')]
        at = line.split(b'"at":"', 1)[1][:27].decode()
        if link.seq == seq:
            members = members.replace(b'"asn":65001', b'"asn":65002')
        sealed, prev = seal(link.seq, at, members.decode(), prev)
        out += sealed.encode()
    (key,) = list_keys(directory)
    (directory / key.name).write_bytes(out)
    write_head(directory, Link(link.seq, "", prev), QuickDisk())
