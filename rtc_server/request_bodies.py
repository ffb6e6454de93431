"""What the bodies of requests say: checked field by field, refused in words.

A refusal may name a field; it never repeats what stood in it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from aiohttp import web

from .auth import Caller, is_identifier
from .call_service import CallOffer, Modality
from .errors import BadRequest, CandidateError, Forbidden
from .offered_tools import read_client_tools
from .untrusted_json import UnfitJson, parse_json

__all__ = ["read_candidates", "read_json", "read_offer"]

BODY_TIMEOUT_S = 10.0
"""A body that is not here after this long is given up."""

DEFAULT_USER_ID = "user"
"""Who calls when neither a token nor the offer says so."""

MAX_DEPTH = 32
"""Of the JSON in a body: the schema of a tool is the deepest that it holds."""

JSON = "application/json"


async def read_json(request: web.Request) -> dict[str, Any]:
    """The JSON object in the body of a request.

    Raises:
        BadRequest: it is no JSON in UTF-8, no object, or holds what :mod:`.untrusted_json`
            does not take.
        web.HTTPException: 408, 413 or 415.
    """
    if request.content_type != JSON:
        raise web.HTTPUnsupportedMediaType(
            text=f"The body must be {JSON}.",
            headers={"Accept-Patch" if request.method == "PATCH" else "Accept-Post": JSON},
        )
    limit = request.client_max_size
    if request.content_length is not None and request.content_length > limit:
        raise web.HTTPRequestEntityTooLarge(limit, request.content_length)
    try:
        async with asyncio.timeout(BODY_TIMEOUT_S):
            raw = await request.read()
    except TimeoutError:
        raise web.HTTPRequestTimeout from None
    except web.RequestPayloadError:
        raise BadRequest("The body of the request is damaged.") from None
    try:
        body = parse_json(raw, max_depth=MAX_DEPTH)
    except UnfitJson as error:
        raise BadRequest(f"The body cannot be taken. {error}") from None
    if not isinstance(body, dict):
        raise BadRequest("The body is not a JSON object.")
    return body


def read_offer(
    body: dict[str, Any],
    caller: Caller | None,
    *,
    allow_run_config: Sequence[str] = (),
    allow_client_tools: bool = False,
    is_loopback: bool = False,
) -> CallOffer:
    """The offer that a body makes on behalf of ``caller``.

    Args:
        caller: whom the token speaks for; None: the server asks for none.
        allow_run_config: fields of ADK's ``RunConfig`` that an offer may set.
        allow_client_tools: every caller may declare tools, not only one on this machine.
        is_loopback: the request comes from this machine.

    Raises:
        BadRequest: a field is missing, of the wrong type, or not allowed.
        Forbidden: the offer names another user or session than the token, or declares
            tools where it may not.
    """
    kind = body.get("type")
    if kind == "answer":
        raise BadRequest("This is an answer; a call is placed with an offer.")
    if kind != "offer":
        raise BadRequest('"type" must be "offer".')
    sdp = _optional_string(body, "sdp")
    if not sdp:
        raise BadRequest('"sdp" must be the SDP of the offer, as a string.')
    agent = _optional_string(body, "agent")
    if agent is not None and not is_identifier(agent):
        raise BadRequest('"agent" is not the name of an agent.')
    user_id = _optional_identifier(body, "user_id")
    session_id = _optional_identifier(body, "session_id")
    if caller is not None:
        if user_id not in (None, caller.user_id):
            raise Forbidden("The token is of another user.")
        if caller.session_id is not None and session_id not in (None, caller.session_id):
            raise Forbidden("The token is for another session.")
        user_id = caller.user_id
        session_id = caller.session_id or session_id
    return CallOffer(
        sdp=sdp,
        user_id=user_id or DEFAULT_USER_ID,
        session_id=session_id,
        agent=agent,
        modality=_read_modality(body),
        run_config=_read_run_config(body, allow_run_config),
        client_tools=read_client_tools(body, allowed=allow_client_tools or is_loopback),
        peer_is_loopback=is_loopback,
    )


def _read_modality(body: dict[str, Any]) -> Modality | None:
    match body.get("modality"):
        case None:
            return None
        case "audio":
            return "audio"
        case "text":
            return "text"
        case _:
            raise BadRequest('"modality" must be "audio" or "text".')


def _read_run_config(body: dict[str, Any], allowed: Sequence[str]) -> dict[str, Any]:
    run_config = body.get("run_config")
    if run_config is None:
        return {}
    if not isinstance(run_config, dict):
        raise BadRequest('"run_config" must be an object.')
    for name in run_config:
        if name not in allowed:
            shown = name if is_identifier(name) else "?"
            raise BadRequest(f'The field "{shown}" of "run_config" is not allowed here.')
    return run_config


def read_candidates(body: dict[str, Any]) -> list[Mapping[str, Any] | None]:
    """The candidates of a trickle body; None stands for the end of candidates."""
    candidates = body.get("candidates")
    if not isinstance(candidates, list):
        raise BadRequest('"candidates" must be an array.')
    return [_read_candidate(one) for one in candidates]


def _read_candidate(one: object) -> Mapping[str, Any] | None:
    if one is None:
        return None
    if not isinstance(one, dict):
        raise CandidateError('Each of "candidates" must be an object.')
    line = _optional_string(one, "candidate")
    if line is None:
        raise CandidateError('A candidate has its line in "candidate".')
    if not line:
        return None
    index = one.get("sdpMLineIndex")
    if index is not None and (isinstance(index, bool) or not isinstance(index, int)):
        raise CandidateError('"sdpMLineIndex" must be a whole number.')
    return {"candidate": line, "sdpMid": _optional_string(one, "sdpMid"), "sdpMLineIndex": index}


def _optional_string(body: dict[str, Any], name: str) -> str | None:
    value = body.get(name)
    if value is None:
        return None
    if not isinstance(value, str):
        raise BadRequest(f'"{name}" must be a string.')
    return value


def _optional_identifier(body: dict[str, Any], name: str) -> str | None:
    value = _optional_string(body, name)
    if value is not None and not is_identifier(value):
        raise BadRequest(f'"{name}" must have 1 to 128 printable characters, no space around.')
    return value
