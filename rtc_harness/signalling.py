"""The HTTP side of a call, as the contract has it: offer and hang-up, in JSON."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from urllib.parse import urljoin

import aiohttp

from .errors import CallRefused, ServerUnreachable

__all__ = ["CallRequest", "PlacedCall", "Signalling"]

_HANG_UP_TIMEOUT_S = 3.0


@dataclass(frozen=True, slots=True)
class CallRequest:
    """What a caller may ask for besides the offer itself; None leaves it to the server."""

    session_id: str | None = None
    user_id: str | None = None
    agent: str | None = None
    modality: str | None = None
    run_config: dict[str, Any] | None = None
    client_tools: list[dict[str, Any]] | None = None
    """Declarations of tools that the caller runs."""

    def body(self, sdp: str) -> dict[str, Any]:
        """The JSON offer."""
        asked = {
            "session_id": self.session_id,
            "user_id": self.user_id,
            "agent": self.agent,
            "modality": self.modality,
            "run_config": self.run_config,
            "client_tools": self.client_tools,
        }
        return {"sdp": sdp, "type": "offer"} | {k: v for k, v in asked.items() if v is not None}


@dataclass(frozen=True, slots=True)
class PlacedCall:
    """The server's answer to an offer."""

    sdp: str
    call_id: str
    session_id: str
    user_id: str
    location: str
    resume_token: str | None


class Signalling:
    """Places and hangs up calls at one server.

    Args:
        http: the client's session; whoever opened it closes it.
        url: the server, with or without a trailing slash.
        token: a call token for ``Authorization``, where the server wants one.
    """

    def __init__(self, http: aiohttp.ClientSession, url: str, token: str | None = None) -> None:
        self._http = http
        self._url = url.rstrip("/") + "/"
        self._token = token

    async def offer(self, request: CallRequest, sdp: str, *, timeout_s: float) -> PlacedCall:
        """Offer a call.

        Raises:
            ServerUnreachable: nothing answers at the URL, or not in time, or not HTTP.
            CallRefused: the server answered with an error, or not with an answer.
        """
        endpoint = urljoin(self._url, "api/calls")
        try:
            async with self._http.post(
                endpoint,
                json=request.body(sdp),
                headers=self._headers(self._token),
                timeout=aiohttp.ClientTimeout(total=timeout_s),
            ) as response:
                if response.status != 201:
                    raise CallRefused(await _refusal(response), response.status)
                return _placed(endpoint, response, await _json(response))
        except TimeoutError:
            raise ServerUnreachable(
                f"The server at {self._url} did not answer within {timeout_s:g} s."
            ) from None
        except (aiohttp.ClientError, ValueError) as error:
            raise ServerUnreachable(
                f"No server answers at {self._url}: {_why_unreachable(error)}."
            ) from None

    async def hang_up(self, call: PlacedCall) -> int | None:
        """Hang up; the HTTP status, None if nobody answers.  A call already gone is no error."""
        try:
            async with self._http.delete(
                call.location,
                headers=self._headers(call.resume_token or self._token),
                timeout=aiohttp.ClientTimeout(total=_HANG_UP_TIMEOUT_S),
            ) as response:
                return response.status
        except (aiohttp.ClientError, TimeoutError):
            return None

    def _headers(self, token: str | None) -> dict[str, str]:
        return {"Authorization": f"Bearer {token}"} if token else {}


def _why_unreachable(error: Exception) -> str:
    if isinstance(error, aiohttp.ClientConnectorError):
        if isinstance(error.os_error, ConnectionRefusedError):
            return "connection refused"
        return error.os_error.strerror or type(error.os_error).__name__
    if isinstance(error, aiohttp.InvalidURL | aiohttp.NonHttpUrlClientError | ValueError):
        return "that is no HTTP address"
    return "what answers there does not speak HTTP"


def _placed(endpoint: str, response: aiohttp.ClientResponse, body: dict[str, Any]) -> PlacedCall:
    try:
        call_id = str(body["call_id"])
        location = response.headers.get("Location", f"/api/calls/{call_id}")
        return PlacedCall(
            sdp=str(body["sdp"]),
            call_id=call_id,
            session_id=str(body["session_id"]),
            user_id=str(body["user_id"]),
            location=urljoin(endpoint, location),
            resume_token=body.get("resume_token"),
        )
    except KeyError as error:
        raise CallRefused(
            f"The server's answer lacks {error.args[0]!r}.", response.status
        ) from None


async def _refusal(response: aiohttp.ClientResponse) -> str:
    problem = await _json(response)
    reason = problem.get("detail") or problem.get("title") or response.reason or "no reason given"
    return f"The server refused the call ({response.status}): {str(reason).rstrip('.')}."


async def _json(response: aiohttp.ClientResponse) -> dict[str, Any]:
    """The body as a JSON object; empty if it is none."""
    try:
        body = await response.json(content_type=None)
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}
