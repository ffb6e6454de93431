"""The HTTP interface: offers, candidates, hang-up, health, metrics and the page.

Every error leaves as ``application/problem+json`` (RFC 9457).  Here, and nowhere else, the
exceptions of :mod:`rtc_server.errors` become HTTP statuses.
"""

from __future__ import annotations

import ipaddress
import logging
import time
from collections.abc import Callable, Mapping
from http import HTTPStatus
from pathlib import Path

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from .auth import Caller, OriginPolicy, Tokens, bearer_token
from .call_service import CallService
from .errors import (
    AgentUnreachable,
    BadRequest,
    CallError,
    CallNotFound,
    ConfigurationError,
    Forbidden,
    ServerBusy,
    TooManyRequests,
    Unauthorized,
)
from .metrics import Exposition
from .page import Page
from .problems import problem, problem_of_http
from .rate_limit import OfferRateLimit
from .request_bodies import read_candidates, read_json, read_offer
from .settings import Settings

__all__ = ["STATUSES", "make_web_app"]

logger = logging.getLogger(__name__)

STATUSES: Mapping[type[CallError], HTTPStatus] = {
    BadRequest: HTTPStatus.BAD_REQUEST,
    Unauthorized: HTTPStatus.UNAUTHORIZED,
    Forbidden: HTTPStatus.FORBIDDEN,
    CallNotFound: HTTPStatus.NOT_FOUND,
    TooManyRequests: HTTPStatus.TOO_MANY_REQUESTS,
    AgentUnreachable: HTTPStatus.BAD_GATEWAY,
    ServerBusy: HTTPStatus.SERVICE_UNAVAILABLE,
}
"""The status of each kind of error; a subclass has that of its nearest ancestor."""

NEVER_IN_OFFERS = frozenset(
    {"http_options", "get_session_config", "model_input_context", "telemetry"}
)
"""Fields of ``RunConfig`` that no operator can open to callers: they reach behind the agent."""

_PAGE_FILE = "page_file"
"""Name of the route to the page's files."""

_FORWARDED_HEADERS = ("Forwarded", "X-Forwarded-For", "X-Real-IP", "Via")


def make_web_app(
    calls: CallService,
    settings: Settings,
    metrics: Exposition,
    tokens: Tokens | None,
    web_dir: Path,
    *,
    clock: Callable[[], float] = time.monotonic,
    wall_clock: Callable[[], float] = time.time,
) -> web.Application:
    """Build the web application; it owns nothing that must be closed.

    Args:
        tokens: verifies the callers' tokens; None: calls need none.
        web_dir: the folder of the page (:func:`rtc_server.page.find_web_dir`).
        clock: monotonic seconds, for the rate limit.
        wall_clock: seconds since the epoch, for the lifetime of tokens.

    Raises:
        ConfigurationError: an allowed host or origin cannot be read, or a field of ``RunConfig``
            is allowed that never may be.
    """
    refused = NEVER_IN_OFFERS.intersection(settings.allow_run_config)
    if refused:
        raise ConfigurationError(f"An offer can never set {', '.join(sorted(refused))}.")
    policy = OriginPolicy(
        host=settings.host,
        allow_hosts=settings.allow_hosts,
        allow_origins=settings.allow_origins,
    )
    app = web.Application(
        middlewares=[_problems, _site_guard(policy)], client_max_size=settings.limits.body_bytes
    )
    app.on_response_prepare.append(_finish_headers)
    page = Page(web_dir)
    api = _Api(calls, settings, tokens, page, clock, wall_clock)
    health = _Health(calls, settings, metrics)
    app.router.add_get("/api/config", api.config)
    app.router.add_post("/api/calls", api.place)
    call = app.router.add_resource("/api/calls/{call_id}")
    call.add_route("GET", api.describe)
    call.add_route("PATCH", api.add_candidates)
    call.add_route("DELETE", api.hang_up)
    app.router.add_get("/healthz", health.alive)
    app.router.add_get("/readyz", health.ready)
    app.router.add_get("/metrics", health.metrics)
    app.router.add_get("/", page.handle)
    app.router.add_get("/{path:(?!api/).+}", page.handle, name=_PAGE_FILE)
    return app


# --------------------------------------------------------------------------
# Handlers
# --------------------------------------------------------------------------


class _Api:
    """Everything under ``/api``."""

    def __init__(
        self,
        calls: CallService,
        settings: Settings,
        tokens: Tokens | None,
        page: Page,
        clock: Callable[[], float],
        wall_clock: Callable[[], float],
    ) -> None:
        self._calls = calls
        self._settings = settings
        self._tokens = tokens
        self._page = page
        self._clock = clock
        self._wall_clock = wall_clock
        self._offers = OfferRateLimit(per_minute=settings.limits.offers_per_minute)

    async def config(self, request: web.Request) -> web.Response:
        """What a client must know before it makes an offer."""
        self._caller(request)
        return web.json_response(
            {
                "ice_servers": [{"urls": url} for url in self._settings.ice_servers],
                "agent": self._calls.agent_name,
                "modalities": list(self._calls.modalities),
                "auth": self._tokens is not None,
                "page": self._page.fingerprint(),
            }
        )

    async def place(self, request: web.Request) -> web.Response:
        """Place a call: offer in, answer out."""
        self._offers.take(request.remote or "", self._clock())
        caller = self._caller(request)
        offer = read_offer(
            await read_json(request),
            caller,
            allow_run_config=self._settings.allow_run_config,
            allow_client_tools=self._settings.allow_client_tools,
            is_loopback=_is_loopback(request),
        )
        placed = await self._calls.place(offer)
        answer = {
            "sdp": placed.answer_sdp,
            "type": "answer",
            "call_id": placed.call_id,
            "session_id": placed.session_id,
            "user_id": placed.user_id,
        }
        if self._tokens is not None:
            answer["resume_token"] = self._tokens.mint(
                placed.user_id,
                placed.session_id,
                ttl_s=self._settings.limits.resume_s,
                now=self._wall_clock(),
            )
        location = f"/api/calls/{placed.call_id}"
        return web.json_response(answer, status=HTTPStatus.CREATED, headers={"Location": location})

    async def add_candidates(self, request: web.Request) -> web.Response:
        """Take trickled candidates (RFC 8838)."""
        call_id, user_id = await self._owned_call(request)
        candidates = read_candidates(await read_json(request))
        await self._calls.add_candidates(call_id, user_id, candidates)
        return web.Response(status=HTTPStatus.NO_CONTENT)

    async def describe(self, request: web.Request) -> web.Response:
        """State, timings and media statistics of a call."""
        call_id, user_id = await self._owned_call(request)
        return web.json_response(await self._calls.describe(call_id, user_id))

    async def hang_up(self, request: web.Request) -> web.Response:
        """End a call."""
        call_id, user_id = await self._owned_call(request)
        await self._calls.hang_up(call_id, user_id)
        return web.json_response({"call_id": call_id})

    def _caller(self, request: web.Request) -> Caller | None:
        """Whom the request's token speaks for; None: this server asks for none."""
        if self._tokens is None:
            return None
        token = bearer_token(request.headers.get("Authorization"))
        return self._tokens.verify(token, now=self._wall_clock())

    async def _owned_call(self, request: web.Request) -> tuple[str, str | None]:
        """The call in the path, and the user it must belong to (None: anybody's)."""
        caller = self._caller(request)
        call_id = request.match_info["call_id"]
        if caller is None:
            return call_id, None
        if caller.session_id is not None:
            # A token for one session is good for the calls of that session only.
            described = await self._calls.describe(call_id, caller.user_id)
            if described["session_id"] != caller.session_id:
                raise CallNotFound("There is no such call.")
        return call_id, caller.user_id


class _Health:
    """What machines ask: alive, ready, metrics."""

    def __init__(self, calls: CallService, settings: Settings, metrics: Exposition) -> None:
        self._calls = calls
        self._public = settings.metrics_public
        self._metrics = metrics

    async def alive(self, request: web.Request) -> web.Response:
        """200 as long as the event loop runs."""
        return web.json_response({"status": "alive"})

    async def ready(self, request: web.Request) -> web.Response:
        """200, or 503 while draining or full."""
        if not self._calls.is_ready:
            raise ServerBusy("The server takes no calls now: it is full or draining.", 5)
        return web.json_response({"status": "ready"})

    async def metrics(self, request: web.Request) -> web.Response:
        """Prometheus' text format."""
        if not self._public and not _is_loopback(request):
            raise Forbidden("The metrics are for this machine only (see --metrics-public).")
        return web.Response(
            body=await self._metrics.scrape(), headers={"Content-Type": self._metrics.content_type}
        )


# --------------------------------------------------------------------------
# Around every request
# --------------------------------------------------------------------------

_CORS_ORIGIN: web.RequestKey[str] = web.RequestKey("cors_origin", str)


@web.middleware
async def _problems(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Turn what a handler raises into a problem response."""
    try:
        return await handler(request)
    except CallError as error:
        return _problem_of(error, "Authorization" in request.headers)
    except web.HTTPException as error:
        return problem_of_http(error)
    except Exception:
        # The boundary of one request: the caller learns nothing of it, the log everything.
        logger.exception("%s %s failed", request.method, request.rel_url.raw_path)
        return problem(500)


def _problem_of(error: CallError, had_credentials: bool) -> web.Response:
    status = next(STATUSES[kind] for kind in type(error).__mro__ if kind in STATUSES)
    headers = {}
    if isinstance(error, TooManyRequests | ServerBusy):
        headers["Retry-After"] = str(error.retry_after_s)
    if isinstance(error, Unauthorized):
        headers["WWW-Authenticate"] = (
            'Bearer error="invalid_token"' if had_credentials else "Bearer"
        )
    return problem(status, str(error), headers)


def _site_guard(policy: OriginPolicy) -> Middleware:
    """Answer only requests whose ``Host`` and ``Origin`` the policy allows."""

    @web.middleware
    async def site_guard(request: web.Request, handler: Handler) -> web.StreamResponse:
        host = policy.check_host(
            request.headers.getall("Host", []), local_address=_local_address(request)
        )
        origin = policy.check_origin(
            request.headers.getall("Origin", []), host, secure=request.secure
        )
        if origin is not None and _is_for_other_origins(request):
            request[_CORS_ORIGIN] = origin
            if request.method == "OPTIONS" and "Access-Control-Request-Method" in request.headers:
                return _preflight(request)
        return await handler(request)

    return site_guard


def _is_for_other_origins(request: web.Request) -> bool:
    """Whether pages of other origins, those that are allowed, may read the answer.

    They call through the API and import the client library; the page itself is for people, and
    health and metrics are for machines.
    """
    if request.match_info.route.name == _PAGE_FILE:
        return not request.path.endswith(".html")
    return request.path.startswith("/api/")


def _local_address(request: web.Request) -> str | None:
    name = request.transport.get_extra_info("sockname") if request.transport else None
    return name[0] if isinstance(name, tuple) else None


def _preflight(request: web.Request) -> web.Response:
    """Tell a browser what a page of an allowed origin may send (Fetch, section 3.3)."""
    headers = {
        "Access-Control-Allow-Methods": "GET, POST, PATCH, DELETE",
        "Access-Control-Allow-Headers": "Authorization, Content-Type, If-Match",
        "Access-Control-Max-Age": "600",
    }
    if "Access-Control-Request-Private-Network" in request.headers:
        headers["Access-Control-Allow-Private-Network"] = "true"
    return web.Response(status=HTTPStatus.NO_CONTENT, headers=headers)


def _is_loopback(request: web.Request) -> bool:
    """Whether the request comes from this machine, and not through a proxy on it."""
    if any(name in request.headers for name in _FORWARDED_HEADERS):
        return False
    try:
        address = ipaddress.ip_address((request.remote or "").partition("%")[0])
    except ValueError:
        return False
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return (mapped or address).is_loopback


async def _finish_headers(request: web.Request, response: web.StreamResponse) -> None:
    """Headers that every response carries."""
    headers = response.headers
    headers["Server"] = "rtc-server"
    headers["X-Content-Type-Options"] = "nosniff"
    # Not "no-referrer": with it browsers send "Origin: null" even to their own site.
    headers["Referrer-Policy"] = "same-origin"
    headers.setdefault("Cache-Control", "no-store")
    origin = request.get(_CORS_ORIGIN)
    if origin is not None:
        headers["Access-Control-Allow-Origin"] = origin
        headers["Access-Control-Expose-Headers"] = "Location, ETag, Link, Retry-After"
        headers.setdefault("Vary", "Origin")
