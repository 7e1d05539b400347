"""Work on threads that nobody waits for.

`asyncio.to_thread` has a few threads for everybody, and a process ends after the last of them. What
may not answer for hours (a file server that is gone, a disk that fails) has a thread of its own.
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
    """What `work(*args, **kwargs)` returns or raises. Cancelled, it leaves the thread behind."""
    loop = asyncio.get_running_loop()
    found: asyncio.Future[T] = loop.create_future()

    def finish(settle: Callable[[Any], None], value: object) -> None:
        if not found.done():  # else it was cancelled
            settle(value)

    def run() -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
            try:
                result = work(*args, **kwargs)
            except Exception as error:
                loop.call_soon_threadsafe(finish, found.set_exception, error)
            else:
                loop.call_soon_threadsafe(finish, found.set_result, result)

    threading.Thread(target=run, name=getattr(work, "__name__", None), daemon=True).start()
    return await found
