"""The HTTP interface on a real server on loopback; the calls behind it are recorded."""

from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from rtc_server.call_service import CallOffer
from rtc_server.errors import (
    AgentUnreachable,
    CallError,
    CandidateError,
    ConfigurationError,
    OfferError,
    ServerBusy,
)
from rtc_server.page import Page
from rtc_server.rate_limit import OfferRateLimit
from rtc_server.settings import Limits
from rtc_server.signaling import STATUSES
from tests.running_site import OFFER, SDP, Site, assert_problem, problem_of, serving


@pytest.fixture
def web_dir(tmp_path: Path) -> Path:
    folder = tmp_path / "web"
    folder.mkdir()
    (folder / "index.html").write_text("<!doctype html><title>Call</title>")
    return folder


@pytest.fixture
async def site(web_dir: Path) -> AsyncIterator[Site]:
    async with serving(web_dir) as running:
        yield running


class TestOffer:
    async def test_an_offer_is_answered_with_the_call_and_its_place(self, site: Site) -> None:
        response = await site.post()
        assert response.status == 201
        assert response.headers["Location"] == "/api/calls/call-1"
        assert await response.json() == {
            "sdp": "v=0\r\n",
            "type": "answer",
            "call_id": "call-1",
            "session_id": "session-1",
            "user_id": "user",
        }

    async def test_all_fields_of_the_contract_reach_the_call(self, web_dir: Path) -> None:
        async with serving(web_dir, allow_run_config=("max_llm_calls",)) as site:
            response = await site.post(
                {
                    **OFFER,
                    "session_id": "s1",
                    "user_id": "ann",
                    "agent": "local",
                    "modality": "text",
                    "run_config": {"max_llm_calls": 7},
                    "client_tools": [{"name": "beep", "description": "Beeps."}],
                    "of the future": [1],
                }
            )
            assert response.status == 201
            assert site.calls.offers == [
                CallOffer(
                    sdp=SDP,
                    user_id="ann",
                    session_id="s1",
                    agent="local",
                    modality="text",
                    run_config={"max_llm_calls": 7},
                    client_tools=[{"name": "beep", "description": "Beeps."}],
                    peer_is_loopback=True,
                )
            ]

    async def test_tools_of_the_client_are_for_loopback_unless_the_operator_allows_them(
        self, web_dir: Path
    ) -> None:
        offer = {**OFFER, "client_tools": [{"name": "beep", "description": "Beeps."}]}
        from_afar = {"X-Forwarded-For": "192.0.2.1"}
        for allowed in (False, True):
            async with serving(web_dir, allow_client_tools=allowed) as site:
                assert (await site.post(offer)).status == 201
                response = await site.post(offer, headers=from_afar)
                assert response.status == (201 if allowed else 403)

    async def test_fields_that_are_null_are_absent(self, site: Site) -> None:
        names = ("session_id", "user_id", "agent", "modality", "run_config", "client_tools")
        response = await site.post({**OFFER, **dict.fromkeys(names)})
        assert response.status == 201
        assert site.calls.offers[0].session_id is None

    async def test_a_caller_behind_a_proxy_is_not_on_loopback(self, site: Site) -> None:
        await site.post(headers={"X-Forwarded-For": "127.0.0.1"})
        assert not site.calls.offers[0].peer_is_loopback

    async def test_json_may_say_its_charset(self, site: Site) -> None:
        headers = {"Content-Type": "Application/JSON; charset=utf-8"}
        response = await site.client.post("/api/calls", data=json.dumps(OFFER), headers=headers)
        assert response.status == 201

    @pytest.mark.parametrize(
        ("change", "words"),
        [
            ({"type": "answer"}, "answer"),
            ({"type": "pranswer"}, '"type"'),
            ({"type": None}, '"type"'),
            ({"type": ["offer"]}, '"type"'),
            ({"sdp": None}, '"sdp"'),
            ({"sdp": ""}, '"sdp"'),
            ({"sdp": 7}, '"sdp"'),
            ({"sdp": [SDP]}, '"sdp"'),
            ({"sdp": SDP + "\ud800"}, '"sdp"'),
            ({"session_id": 7}, '"session_id"'),
            ({"session_id": ""}, '"session_id"'),
            ({"session_id": " s1"}, '"session_id"'),
            ({"session_id": "s" * 129}, '"session_id"'),
            ({"session_id": "s\0"}, '"session_id"'),
            ({"user_id": {}}, '"user_id"'),
            ({"user_id": "\ud800"}, '"user_id"'),
            ({"agent": False}, '"agent"'),
            ({"agent": ""}, '"agent"'),
            ({"modality": "video"}, '"modality"'),
            ({"modality": ["audio"]}, '"modality"'),
            ({"run_config": []}, '"run_config"'),
            ({"client_tools": {}}, '"client_tools"'),
            ({"client_tools": [{"name": "a b"}]}, '"client_tools[0].name"'),
            ({"run_config": {"http_options": {}}}, '"http_options"'),
            ({"run_config": {"\n": {}}}, '"run_config"'),
        ],
    )
    async def test_a_wrong_field_is_named(
        self, site: Site, change: dict[str, Any], words: str
    ) -> None:
        problem = await problem_of(await site.post({**OFFER, **change}), 400)
        assert words in problem["detail"]
        assert not site.calls.offers

    @pytest.mark.parametrize(
        "body",
        [
            b"",
            b"{",
            b"v=0",
            b"[]",
            b"null",
            b'"offer"',
            b"7",
            b'{"sdp": NaN, "type": "offer"}',
            b"\xff\xfe{\x00}\x00",
            b'{"sdp": "\xff", "type": "offer"}',
            b"[" * 60_000,
        ],
    )
    async def test_what_is_no_json_object_is_a_bad_request(self, site: Site, body: bytes) -> None:
        headers = {"Content-Type": "application/json"}
        await problem_of(await site.client.post("/api/calls", data=body, headers=headers), 400)

    @pytest.mark.parametrize(
        "value", ["1e999", "[" * 900 + "]" * 900, '"\\ud800"', '"\\u0000"', '{"\\ud800": 1}']
    )
    async def test_no_field_takes_what_could_not_be_sent_on_or_stored(
        self, site: Site, value: str
    ) -> None:
        """Not even one that the server does not know."""
        body = json.dumps(OFFER).removesuffix("}") + ', "of the future": ' + value + "}"
        headers = {"Content-Type": "application/json"}
        await problem_of(await site.client.post("/api/calls", data=body, headers=headers), 400)
        assert not site.calls.offers

    @pytest.mark.parametrize(
        "content_type", ["application/sdp", "text/plain", "application/x-www-form-urlencoded", ""]
    )
    async def test_a_body_of_another_type_is_unsupported(
        self, site: Site, content_type: str
    ) -> None:
        line = f"Content-Type: {content_type}\r\n" if content_type else ""
        reply = await site.raw(
            f"POST /api/calls HTTP/1.1\r\nHost: localhost\r\n{line}"
            "Content-Length: 2\r\nConnection: close\r\n\r\n{}"
        )
        assert reply.status == 415
        assert reply.headers["accept-post"] == "application/json"
        assert_problem(415, reply.headers, reply.body.decode())

    @pytest.mark.parametrize(
        "name", ["http_options", "get_session_config", "model_input_context", "telemetry"]
    )
    async def test_a_field_that_never_may_be_allowed_stops_the_start(
        self, web_dir: Path, name: str
    ) -> None:
        with pytest.raises(ConfigurationError, match=name):
            async with serving(web_dir, allow_run_config=(name,)):
                pass


class TestBodyLimit:
    async def test_a_body_of_64_kib_is_read_and_one_byte_more_is_not(self, site: Site) -> None:
        space = 64 * 1024 - len(json.dumps({**OFFER, "x": ""}))
        assert (await site.post({**OFFER, "x": "x" * space})).status == 201
        await problem_of(await site.post({**OFFER, "x": "x" * (space + 1)}), 413)

    async def test_the_length_is_refused_before_the_body_is_sent(
        self, site: Site, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("rtc_server.problems.LINGERING_S", 0.05)
        reply = await site.raw(
            "POST /api/calls HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            "Content-Length: 99999999999\r\nConnection: close\r\n\r\n"
        )
        assert reply.status == 413
        assert_problem(413, reply.headers, reply.body.decode())

    async def test_a_chunked_body_is_held_to_the_same_limit(self, site: Site) -> None:
        head = (
            b"POST /api/calls HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            b"Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
        )
        chunk = b"1000\r\n" + b" " * 4096 + b"\r\n"
        reply = await site.raw(head + chunk * 17 + b"0\r\n\r\n")
        assert reply.status == 413
        assert_problem(413, reply.headers, reply.body.decode())
        body = json.dumps(OFFER).encode()
        small = f"{len(body):x}\r\n".encode() + body + b"\r\n"
        assert (await site.raw(head + small + b"0\r\n\r\n")).status == 201

    async def test_a_compressed_body_is_measured_unpacked(self, site: Site) -> None:
        headers = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
        bomb = gzip.compress(b" " * 10_000_000)
        assert len(bomb) < 64 * 1024
        response = await site.client.post("/api/calls", data=bomb, headers=headers)
        await problem_of(response, 413)

    async def test_a_body_that_is_not_the_gzip_it_says_is_a_bad_request(self, site: Site) -> None:
        headers = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
        response = await site.client.post("/api/calls", data=b"not gzip", headers=headers)
        await problem_of(response, 400)

    async def test_a_body_that_never_comes_is_given_up(
        self, site: Site, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("rtc_server.request_bodies.BODY_TIMEOUT_S", 0.05)
        monkeypatch.setattr("rtc_server.problems.LINGERING_S", 0.05)
        reply = await site.raw(
            "POST /api/calls HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            "Content-Length: 10\r\nConnection: close\r\n\r\n{"
        )
        assert reply.status == 408
        assert_problem(408, reply.headers, reply.body.decode())


class TestIdleConnections:
    @pytest.mark.parametrize("sent", [b"", b"GET / HTTP/1.1\r\nHost: localh"])
    async def test_a_connection_without_a_whole_request_is_closed(
        self, site: Site, monkeypatch: pytest.MonkeyPatch, sent: bytes
    ) -> None:
        monkeypatch.setattr("rtc_server.problems.KEEPALIVE_S", 0.05)
        reader, writer = await asyncio.open_connection("127.0.0.1", site.port)
        try:
            writer.write(sent)
            async with asyncio.timeout(20):
                assert await reader.read() == b""
        finally:
            writer.close()


class TestCandidates:
    @pytest.fixture
    async def call(self, site: Site) -> str:
        return (await site.post()).headers["Location"]

    async def test_candidates_are_passed_on_and_an_empty_one_ends_them(
        self, site: Site, call: str
    ) -> None:
        line = "candidate:1 1 udp 1 127.0.0.1 9 typ host"
        response = await site.client.patch(
            call,
            json={
                "candidates": [
                    {"candidate": line, "sdpMid": "0", "sdpMLineIndex": 0, "usernameFragment": "x"},
                    {"candidate": ""},
                    None,
                ]
            },
        )
        assert response.status == 204
        assert await response.read() == b""
        first = {"candidate": line, "sdpMid": "0", "sdpMLineIndex": 0}
        assert site.calls.candidates == [first, None, None]

    @pytest.mark.parametrize(
        "body",
        [
            {},
            {"candidates": {}},
            {"candidates": ["candidate:SENTINEL"]},
            {"candidates": [{}]},
            {"candidates": [{"candidate": 7}]},
            {"candidates": [{"candidate": "x", "sdpMid": 0}]},
            {"candidates": [{"candidate": "x", "sdpMLineIndex": "0"}]},
            {"candidates": [{"candidate": "x", "sdpMLineIndex": True}]},
        ],
    )
    async def test_a_malformed_candidate_is_a_bad_request(
        self, site: Site, call: str, body: dict[str, Any]
    ) -> None:
        await problem_of(await site.client.patch(call, json=body), 400)
        assert not site.calls.candidates

    async def test_a_body_of_another_type_is_unsupported(self, site: Site, call: str) -> None:
        headers = {"Content-Type": "application/trickle-ice-sdpfrag"}
        response = await site.client.patch(call, data=b"a=end-of-candidates", headers=headers)
        await problem_of(response, 415)
        assert response.headers["Accept-Patch"] == "application/json"

    async def test_candidates_of_a_call_that_is_gone_are_not_found(self, site: Site) -> None:
        await problem_of(await site.client.patch("/api/calls/gone", json={"candidates": []}), 404)


class TestCall:
    async def test_a_call_is_described(self, site: Site) -> None:
        response = await site.client.get((await site.post()).headers["Location"])
        assert await response.json() == {"call_id": "call-1", "session_id": "session-1"}

    async def test_a_call_is_hung_up_once(self, site: Site) -> None:
        call = (await site.post()).headers["Location"]
        assert (await site.client.delete(call)).status == 200
        await problem_of(await site.client.delete(call), 404)
        await problem_of(await site.client.get(call), 404)

    @pytest.mark.parametrize("call_id", ["gone", "%00", "..%2f..", "x" * 4000])
    async def test_a_call_that_never_was_is_not_found(self, site: Site, call_id: str) -> None:
        reply = await site.get("Host: localhost", path=f"/api/calls/{call_id}")
        assert reply.status == 404
        assert_problem(404, reply.headers, reply.body.decode())


class TestErrors:
    @pytest.mark.parametrize(
        ("error", "status"),
        [
            (OfferError("No usable codec."), 400),
            (CandidateError("Too many."), 400),
            (AgentUnreachable("The agent does not answer."), 502),
            (ServerBusy("Full.", 7), 503),
        ],
    )
    async def test_each_refusal_of_a_call_has_its_status(
        self, site: Site, error: CallError, status: int
    ) -> None:
        site.calls.fails = error
        response = await site.post()
        assert (await problem_of(response, status))["detail"] == str(error)
        assert response.headers.get("Retry-After") == ("7" if status == 503 else None)

    def test_every_kind_of_call_error_has_a_status(self) -> None:
        kinds = CallError.__subclasses__()
        assert set(STATUSES) == set(kinds)

    async def test_an_unexpected_error_says_nothing_of_itself_but_to_the_log(
        self, site: Site, caplog: pytest.LogCaptureFixture
    ) -> None:
        site.calls.fails = ValueError("SENTINEL")
        await problem_of(await site.post(), 500)
        assert "POST /api/calls failed" in caplog.text

    async def test_an_unknown_address_is_not_found(self, site: Site) -> None:
        for path in ("/nope", "/api", "/api/nope", "/api/calls/", "/index.htm"):
            await problem_of(await site.client.get(path), 404)
        await problem_of(await site.client.post("/api/nope"), 404)

    async def test_a_method_that_is_not_taken_is_answered_with_those_that_are(
        self, site: Site
    ) -> None:
        response = await site.client.put("/api/calls/call-1")
        await problem_of(response, 405)
        assert response.headers["Allow"] == "DELETE,GET,PATCH"
        await problem_of(await site.client.get("/api/calls"), 405)
        await problem_of(await site.client.post("/"), 405)

    @pytest.mark.parametrize(
        "request_bytes",
        [
            b"SENTINEL\r\n\r\n",
            b"\x16\x03\x01SENTINEL\r\n\r\n",
            b"GET / HTTP/1.1\r\nSENTINEL\r\n\r\n",
            b"GET / HTTP/1.1\r\nAuthorization: SENTINEL" + b"x" * 9000 + b"\r\n\r\n",
            b"GET /SENTINEL" + b"x" * 9000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
            b"POST /api/calls HTTP/1.1\r\nHost: localhost\r\nContent-Length: SENTINEL\r\n\r\n",
            b"POST /api/calls HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n"
            b"Content-Type: application/json\r\n\r\nSENTINEL\r\n",
        ],
    )
    async def test_what_is_no_http_is_a_problem_that_does_not_quote_it(
        self, site: Site, request_bytes: bytes
    ) -> None:
        reply = await site.raw(request_bytes)
        assert reply.status == 400
        assert reply.headers["server"] == "rtc-server"
        assert_problem(400, reply.headers, reply.body.decode())

    async def test_the_server_does_not_say_what_it_is_built_of(self, site: Site) -> None:
        for path in ("/", "/api/config", "/nope"):
            response = await site.client.get(path)
            assert response.headers["Server"] == "rtc-server"


class TestRateLimit:
    async def test_too_many_offers_are_refused_for_a_while(self, web_dir: Path) -> None:
        async with serving(web_dir, limits=Limits(offers_per_minute=2)) as site:
            assert (await site.post()).status == 201
            await problem_of(await site.post({}), 400)
            response = await site.post()
            await problem_of(response, 429)
            assert response.headers["Retry-After"] == "30"
            site.clock[0] += 30
            assert (await site.post()).status == 201

    async def test_what_is_no_offer_is_not_counted(self, web_dir: Path) -> None:
        async with serving(web_dir, limits=Limits(offers_per_minute=1)) as site:
            call = (await site.post()).headers["Location"]
            for _ in range(5):
                assert (await site.client.get(call)).status == 200

    def test_clients_are_counted_apart_and_an_ipv6_network_as_one(self) -> None:
        limit = OfferRateLimit(per_minute=1)
        for address in ("192.0.2.1", "192.0.2.2", "2001:db8::1", "2001:db8:0:1::1", "unix"):
            limit.take(address, 0.0)
        for address in ("192.0.2.1", "2001:db8::2", "2001:db8:0:1::2%eth0", "unix"):
            with pytest.raises(CallError):
                limit.take(address, 0.0)

    def test_the_table_of_clients_is_bounded(self) -> None:
        limit = OfferRateLimit(per_minute=1, max_clients=3)
        for number in range(1000):
            limit.take(f"192.0.2.{number}", 0.0)
        assert len(limit._buckets) == 3


class TestConfigAndHealth:
    async def test_the_configuration_is_what_a_client_needs(self, web_dir: Path) -> None:
        async with serving(web_dir, ice_servers=("stun:stun.example:3478",)) as site:
            response = await site.client.get("/api/config")
            assert await response.json() == {
                "ice_servers": [{"urls": "stun:stun.example:3478"}],
                "agent": "local",
                "modalities": ["audio", "text"],
                "auth": False,
                "page": Page(web_dir).fingerprint(),
            }
            assert response.headers["Cache-Control"] == "no-store"

    async def test_ready_says_whether_a_call_would_be_taken(self, site: Site) -> None:
        assert (await site.client.get("/readyz")).status == 200
        site.calls.is_ready = False
        response = await site.client.get("/readyz")
        await problem_of(response, 503)
        assert response.headers["Retry-After"]
        assert (await site.client.get("/healthz")).status == 200

    async def test_metrics_are_for_loopback_only(self, site: Site) -> None:
        response = await site.client.get("/metrics")
        assert response.status == 200
        assert response.headers["Content-Type"].startswith("text/plain; version=0.0.4")
        assert "rtc_calls_active 0.0" in await response.text()
        proxied = await site.client.get("/metrics", headers={"X-Forwarded-For": "192.0.2.7"})
        await problem_of(proxied, 403)

    async def test_metrics_can_be_made_public(self, web_dir: Path) -> None:
        async with serving(web_dir, metrics_public=True) as site:
            headers = {"X-Forwarded-For": "192.0.2.7"}
            assert (await site.client.get("/metrics", headers=headers)).status == 200
