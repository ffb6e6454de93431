"""Errors as ``application/problem+json`` (RFC 9457), those of malformed HTTP included."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from http import HTTPStatus

from aiohttp import web

__all__ = ["ProblemRunner", "problem", "problem_of_http"]

logger = logging.getLogger(__name__)

LINGERING_S = 2.0
"""How long the rest of a refused body is read and thrown away, so that its sender, who may
still be sending, gets to see the refusal (RFC 9112, section 9.6)."""

KEEPALIVE_S = 75.0
"""How long a connection may be open before its first request is whole, and between two.
aiohttp's own figure is an hour, which lets a stranger hold all file descriptors."""

_WORDS = {
    400: "The request cannot be understood.",
    403: "This is not allowed.",
    404: "There is nothing at this address.",
    405: "This address does not take that method.",
    408: "The body of the request took too long.",
    413: "The body is larger than this server takes.",
    500: "The server failed to answer this request; its log says more.",
}
"""The detail of errors that have none of their own."""


def problem(
    status: int, detail: str | None = None, headers: Mapping[str, str] | None = None
) -> web.Response:
    """A problem response; its type is ``about:blank``, so its title is that of the status."""
    body = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": int(status),
        "detail": detail or _WORDS.get(status, _WORDS[400]),
    }
    return web.json_response(
        body, status=status, content_type="application/problem+json", headers=headers
    )


def problem_of_http(error: web.HTTPException) -> web.Response:
    """The problem of what aiohttp raises; of its text only what we wrote ourselves is kept."""
    detail = error.text if isinstance(error, web.HTTPUnsupportedMediaType) else None
    kept = ("Allow", "Accept-Post", "Accept-Patch")
    headers = {name: error.headers[name] for name in kept if name in error.headers}
    return problem(error.status, detail, headers)


class _ProblemRequestHandler(web.RequestHandler):
    """One connection; what it cannot parse is refused as a problem, without quoting it.

    aiohttp would answer in plain text with the offending bytes, a token among them.
    """

    __slots__ = ()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """The response to what never reached the application; closes the connection."""
        if status == HTTPStatus.INTERNAL_SERVER_ERROR:
            logger.error("a request failed", exc_info=exc)
        if request.writer.output_size > 0:
            raise ConnectionError("the response had begun when it failed")
        headers = {
            "Server": "rtc-server",
            "X-Content-Type-Options": "nosniff",
            "Cache-Control": "no-store",
        }
        response = problem(status, headers=headers)
        response.force_close()
        return response


class _Connections(web.Server):
    """Makes the protocols of a server whose requests ``server`` handles."""

    def __init__(self, server: web.Server) -> None:
        super().__init__(
            server.request_handler,
            request_factory=server.request_factory,
            loop=asyncio.get_running_loop(),
        )
        self._server = server

    def __call__(self) -> web.RequestHandler:
        return _ProblemRequestHandler(
            self._server,
            loop=asyncio.get_running_loop(),
            access_log=None,  # type: ignore[arg-type]  # aiohttp takes None: no log
            lingering_time=LINGERING_S,
            keepalive_timeout=KEEPALIVE_S,
        )


class ProblemRunner(web.AppRunner):
    """Runs a web application; every error that leaves it is a problem.

    Used like :class:`aiohttp.web.AppRunner`; whoever sets it up cleans it up.
    """

    @property
    def server(self) -> web.Server | None:
        """What sites make their connections with; the connections are the runner's own."""
        server = super().server
        return None if server is None else _Connections(server)
