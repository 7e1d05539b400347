"""The scripted RTR cache as a program, for labs: `python rtr_program.py HOST PORT CONTROL`.

CONTROL is the path of a Unix socket. Each connection there sends one JSON line and gets one back:
`{"do": "status"}`, `{"do": "dies"}`, `{"do": "starts"}`, `{"do": "forgets"}`,
`{"do": "fails", "fault": NAME}` (of `rtr_faults`), `{"do": "serves", "vrps": [[PREFIX, MAX_LENGTH,
ASN], ...]}` -> `{"queries", "faults"}`: how many there were, and how many are still to come.
"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from support.rtr_cache import RtrCache
from support.rtr_faults import FAULTS, UPDATE_FAULTS

from rsfilter.routing.model import Prefix, Vrp


class Program:
    """A cache and who controls it."""

    def __init__(self, host: str, port: int) -> None:
        self._cache = RtrCache([], host=host, port=port)

    async def run(self, control: str) -> None:
        """Serves until it is killed."""
        server = await asyncio.start_unix_server(self._controlled, control)
        await server.serve_forever()

    async def _controlled(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await self._do(**json.loads(await reader.readline()))
        status = {"queries": self._cache.queries, "faults": len(self._cache.faults)}
        writer.write(json.dumps(status).encode() + b"\n")
        writer.close()

    async def _do(self, do: str, fault: str = "", vrps: list[tuple[str, int, int]] = []) -> None:  # noqa: B006
        cache = self._cache
        match do:
            case "starts":
                await cache.starts()
            case "dies":
                await cache.dies()
            case "forgets":
                cache.forgets()
            case "fails":
                cache.faults.append((FAULTS | UPDATE_FAULTS)[fault])
            case "serves":
                cache.holds(Vrp(Prefix.parse(p), length, asn) for p, length, asn in vrps)
                cache.notifies()


if __name__ == "__main__":
    asyncio.run(Program(sys.argv[1], int(sys.argv[2])).run(sys.argv[3]))
