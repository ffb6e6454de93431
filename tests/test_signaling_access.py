"""Whom the HTTP interface answers: hosts, origins, tokens and TLS, on a real server on loopback."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import ClientSession, web

from rtc_server.auth import Tokens
from rtc_server.errors import CallError
from rtc_server.metrics import Metrics
from rtc_server.problems import ProblemRunner
from rtc_server.settings import Settings
from rtc_server.signaling import make_web_app
from tests.running_site import (
    NOW,
    OFFER,
    SECRET,
    RecordedCalls,
    Site,
    assert_problem,
    problem_of,
    serving,
)


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


@pytest.fixture
async def guarded(web_dir: Path) -> AsyncIterator[Site]:
    """A site that asks for tokens."""
    async with serving(web_dir, auth_secret=SECRET) as running:
        yield running


class TestHostAndOrigin:
    @pytest.mark.parametrize(
        "headers",
        [
            ["Host: localhost:PORT"],
            ["Host: LOCALHOST"],
            ["Host: 127.0.0.1:PORT"],
            ["Host: localhost:PORT", "Origin: http://localhost:PORT"],
            ["Host: 127.0.0.1:PORT", "Origin: http://127.0.0.1:PORT"],
        ],
    )
    async def test_our_own_page_is_answered(self, site: Site, headers: list[str]) -> None:
        assert (await site.get(*headers)).status == 200

    @pytest.mark.parametrize("path", ["/", "/api/config", "/healthz", "/metrics", "/nope"])
    @pytest.mark.parametrize(
        "headers",
        [
            ["Host: evil.example:PORT"],
            ["Host: "],
            ["Host: localhost:PORT", "Origin: null"],
            ["Host: localhost:PORT", "Origin: http://evil.example"],
            ["Host: localhost:PORT", "Origin: http://localhost:1"],
            ["Host: localhost:PORT", "Origin: http://127.0.0.1:PORT"],
            ["Host: evil.example:PORT", "Origin: http://evil.example:PORT"],
            ["Host: [::1]:PORT"],
        ],
    )
    async def test_any_other_host_or_origin_is_forbidden_everywhere(
        self, site: Site, headers: list[str], path: str
    ) -> None:
        reply = await site.get(*headers, path=path)
        assert reply.status == 403
        assert_problem(403, reply.headers, reply.body.decode())
        assert "access-control-allow-origin" not in reply.headers

    async def test_a_missing_or_doubled_host_is_refused(self, site: Site) -> None:
        for headers in ([], ["Host: localhost", "Host: localhost"]):
            reply = await site.get(*headers)
            assert reply.status == 400  # as RFC 9112, section 3.2, says
            assert_problem(400, reply.headers, reply.body.decode())
        old = await site.raw("GET /api/config HTTP/1.0\r\n\r\n")
        assert old.status == 403

    async def test_a_target_with_an_authority_does_not_stand_in_for_the_host(
        self, site: Site
    ) -> None:
        reply = await site.get("Host: evil.example", path="http://localhost:PORT/api/config")
        assert reply.status == 403

    async def test_a_web_site_cannot_place_a_call(self, site: Site) -> None:
        response = await site.post(headers={"Origin": "https://evil.example"})
        await problem_of(response, 403)
        assert not site.calls.offers

    async def test_a_page_of_an_allowed_origin_may_call_and_read_the_answer(
        self, web_dir: Path
    ) -> None:
        async with serving(web_dir, allow_origins=("https://app.example",)) as site:
            headers = {"Origin": "https://app.example"}
            response = await site.post(headers=headers)
            assert response.status == 201
            assert response.headers["Access-Control-Allow-Origin"] == "https://app.example"
            assert "Location" in response.headers["Access-Control-Expose-Headers"]
            assert response.headers["Vary"] == "Origin"
            failed = await site.post({}, headers=headers)
            await problem_of(failed, 400)
            assert failed.headers["Access-Control-Allow-Origin"] == "https://app.example"

    async def test_a_preflight_of_an_allowed_origin_needs_no_token(self, web_dir: Path) -> None:
        options = {"allow_origins": ("https://app.example",), "auth_secret": SECRET}
        async with serving(web_dir, **options) as site:
            response = await site.client.options(
                "/api/calls/call-1",
                headers={
                    "Origin": "https://app.example",
                    "Access-Control-Request-Method": "PATCH",
                    "Access-Control-Request-Private-Network": "true",
                },
            )
            assert response.status == 204
            assert "PATCH" in response.headers["Access-Control-Allow-Methods"]
            assert "Authorization" in response.headers["Access-Control-Allow-Headers"]
            assert response.headers["Access-Control-Allow-Private-Network"] == "true"

    async def test_a_preflight_of_another_origin_is_forbidden(self, site: Site) -> None:
        response = await site.client.options(
            "/api/calls",
            headers={"Origin": "https://evil.example", "Access-Control-Request-Method": "POST"},
        )
        await problem_of(response, 403)


class TestTokens:
    async def test_without_a_token_nothing_of_the_api_is_answered(self, guarded: Site) -> None:
        for method, path in (
            ("GET", "/api/config"),
            ("POST", "/api/calls"),
            ("GET", "/api/calls/call-1"),
            ("PATCH", "/api/calls/call-1"),
            ("DELETE", "/api/calls/call-1"),
        ):
            response = await guarded.client.request(method, path)
            await problem_of(response, 401)
            assert response.headers["WWW-Authenticate"] == "Bearer"
        for path in ("/", "/healthz", "/readyz", "/metrics"):
            assert (await guarded.client.get(path)).status == 200

    async def test_a_token_that_is_not_ours_is_refused(self, guarded: Site) -> None:
        other = Tokens("another secret that is long enough").mint("ann", ttl_s=60, now=NOW)
        headers = {"Authorization": f"Bearer {other}"}
        response = await guarded.post(headers=headers)
        await problem_of(response, 401)
        assert "invalid_token" in response.headers["WWW-Authenticate"]

    async def test_the_caller_is_the_subject_of_the_token(self, guarded: Site) -> None:
        headers = guarded.bearer("ann")
        for body in (OFFER, {**OFFER, "user_id": "ann"}):
            assert (await (await guarded.post(body, headers=headers)).json())["user_id"] == "ann"
        await problem_of(await guarded.post({**OFFER, "user_id": "bob"}, headers=headers), 403)
        assert [offer.user_id for offer in guarded.calls.offers] == ["ann", "ann"]

    async def test_a_token_of_a_session_is_for_that_session(self, guarded: Site) -> None:
        headers = guarded.bearer("ann", "s1")
        for body in (OFFER, {**OFFER, "session_id": "s1"}):
            placed = await (await guarded.post(body, headers=headers)).json()
            assert placed["session_id"] == "s1"
        await problem_of(await guarded.post({**OFFER, "session_id": "s2"}, headers=headers), 403)

    async def test_only_the_owner_reaches_a_call(self, guarded: Site) -> None:
        placed = await guarded.post(headers=guarded.bearer("ann"))
        call = placed.headers["Location"]
        for headers in (guarded.bearer("bob"), guarded.bearer("ann", "another session")):
            await problem_of(await guarded.client.get(call, headers=headers), 404)
            await problem_of(await guarded.client.delete(call, headers=headers), 404)
            await problem_of(
                await guarded.client.patch(call, headers=headers, json={"candidates": [None]}), 404
            )
        assert not guarded.calls.candidates
        response = await guarded.client.delete(call, headers=guarded.bearer("ann"))
        assert response.status == 200

    async def test_the_resume_token_serves_for_the_session_and_its_calls(
        self, guarded: Site
    ) -> None:
        placed = await (await guarded.post(headers=guarded.bearer("ann"))).json()
        headers = {"Authorization": f"Bearer {placed['resume_token']}"}
        call = f"/api/calls/{placed['call_id']}"
        assert (await guarded.client.get(call, headers=headers)).status == 200
        patched = await guarded.client.patch(call, headers=headers, json={"candidates": []})
        assert patched.status == 204
        again = await (await guarded.post(headers=headers)).json()
        assert (again["user_id"], again["session_id"]) == ("ann", placed["session_id"])
        other = {**OFFER, "session_id": "another"}
        await problem_of(await guarded.post(other, headers=headers), 403)
        assert (await guarded.client.delete(call, headers=headers)).status == 200

    async def test_the_resume_token_is_good_for_an_hour(self, guarded: Site) -> None:
        placed = await (await guarded.post(headers=guarded.bearer("ann"))).json()
        assert guarded.tokens is not None
        guarded.tokens.verify(placed["resume_token"], now=NOW + 3599)
        with pytest.raises(CallError):
            guarded.tokens.verify(placed["resume_token"], now=NOW + 3600)


class TestTls:
    async def test_over_tls_the_page_of_the_same_origin_is_answered(
        self, web_dir: Path, certificate: tuple[Path, Path]
    ) -> None:
        app = make_web_app(RecordedCalls(), Settings(), Metrics(), None, web_dir)
        runner = ProblemRunner(app)
        await runner.setup()
        served = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        served.load_cert_chain(*certificate)
        trusted = ssl.create_default_context(cafile=certificate[0])
        try:
            await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=served).start()
            url = f"https://127.0.0.1:{runner.addresses[0][1]}"
            async with ClientSession() as client:
                for origin, status in ((url, 200), (url.replace("https", "http"), 403)):
                    headers = {"Origin": origin}
                    response = await client.get(f"{url}/api/config", headers=headers, ssl=trusted)
                    assert response.status == status
        finally:
            await runner.cleanup()


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[Path, Path]:
    """A self-signed certificate of 127.0.0.1 and its key."""
    from datetime import UTC, datetime, timedelta
    from ipaddress import ip_address

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "test")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False
        )
        .sign(key, hashes.SHA256())
    )
    cert_file, key_file = tmp_path / "cert.pem", tmp_path / "key.pem"
    cert_file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    key_file.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return cert_file, key_file
