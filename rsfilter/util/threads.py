"""Work on daemon threads, which a process can leave behind when it ends.

`asyncio.to_thread` shares a few threads, and the process waits for them before it ends. Work that
may block for hours (a dead file server, a failing disk) gets a thread of its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


async def on_own_thread(work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Run `work(*args, **kwargs)` on a thread of its own; return its result or raise its error.
    Cancellation leaves the thread behind."""
    loop = asyncio.get_running_loop()
    found: asyncio.Future[T] = loop.create_future()

    def finish(settle: Callable[[Any], None], value: object) -> None:
        if not found.done():  # cancelled otherwise
            settle(value)

    def run() -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: no task waits
            try:
                result = work(*args, **kwargs)
            except Exception as error:
                loop.call_soon_threadsafe(finish, found.set_exception, error)
            else:
                loop.call_soon_threadsafe(finish, found.set_result, result)

    threading.Thread(target=run, name=getattr(work, "__name__", None), daemon=True).start()
    return await found
