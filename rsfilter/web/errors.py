"""Failed requests: one exception, one JSON shape."""

from __future__ import annotations

from collections.abc import Mapping

from rsfilter.web.shapes import Error


class ApiError(Exception):
    """A request that cannot be answered. `headers` go out with the answer."""

    def __init__(
        self,
        status: int,
        error: str,
        detail: str,
        *,
        pointer: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.answer = Error(error=error, detail=detail, pointer=pointer)
        self.headers = dict(headers or {})


def bad_request(detail: str) -> ApiError:
    """The request makes no sense."""
    return ApiError(400, "bad_request", detail)
