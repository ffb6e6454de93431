"""Call tokens, and which ``Host`` and ``Origin`` are answered."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import random

import pytest

from rtc_server.auth import (
    MAX_TOKEN_CHARACTERS,
    Authority,
    Caller,
    OriginPolicy,
    Tokens,
    bearer_token,
    is_identifier,
)
from rtc_server.errors import ConfigurationError, Forbidden, Unauthorized

SECRET = "correct horse battery staple 0123456789"
NOW = 1_900_000_000.0


def encoded(part: bytes) -> str:
    return base64.urlsafe_b64encode(part).rstrip(b"=").decode()


def signed(header: object, claims: object, secret: str = SECRET) -> str:
    """A token made by hand, as another program would make it."""
    body = ".".join(encoded(json.dumps(part).encode()) for part in (header, claims))
    return f"{body}.{encoded(hmac.digest(secret.encode(), body.encode(), hashlib.sha256))}"


def hs256(**claims: object) -> str:
    return signed({"alg": "HS256", "typ": "JWT"}, claims)


class TestTokens:
    tokens = Tokens(SECRET)

    def test_a_minted_token_names_its_user_and_session(self) -> None:
        token = self.tokens.mint("ann", "s1", ttl_s=60, now=NOW)
        assert self.tokens.verify(token, now=NOW) == Caller("ann", "s1")

    def test_a_token_without_session_is_good_for_any(self) -> None:
        token = self.tokens.mint("ann", ttl_s=60, now=NOW)
        assert self.tokens.verify(token, now=NOW) == Caller("ann", None)

    def test_a_token_of_another_program_with_the_same_secret_is_taken(self) -> None:
        assert self.tokens.verify(hs256(sub="ann", exp=NOW + 1), now=NOW) == Caller("ann", None)

    def test_a_clock_that_runs_ahead_where_tokens_are_minted_does_no_harm(self) -> None:
        token = hs256(sub="ann", iat=NOW + 30, exp=NOW + 60)
        assert self.tokens.verify(token, now=NOW).user_id == "ann"

    def test_a_token_expires_with_its_last_second(self) -> None:
        token = self.tokens.mint("ann", ttl_s=60, now=NOW)
        self.tokens.verify(token, now=NOW + 59)
        with pytest.raises(Unauthorized, match="expired"):
            self.tokens.verify(token, now=NOW + 60)

    @pytest.mark.parametrize(
        "token",
        [
            "",
            "x",
            "a.b.c",
            "a.b.c.d.e",
            "é.é.é",
            "\udcff.\udcff.\udcff",
            hs256(sub="ann"),
            hs256(exp=NOW + 60),
            hs256(sub="", exp=NOW + 60),
            hs256(sub=7, exp=NOW + 60),
            hs256(sub=" ann", exp=NOW + 60),
            hs256(sub="a" * 129, exp=NOW + 60),
            hs256(sub="ann", exp="tomorrow"),
            hs256(sub="ann", exp=True),
            hs256(sub="ann", exp=float("nan")),
            hs256(sub="ann", exp=None),
            hs256(sub="ann", exp=NOW + 60, nbf=NOW + 30),
            hs256(sub="ann", sid=["s1"], exp=NOW + 60),
            hs256(sub="ann", sid="", exp=NOW + 60),
            signed({"alg": "HS256"}, ["sub"]),
            signed({"alg": "HS256", "crit": ["exp"]}, {"sub": "ann", "exp": NOW + 60}),
            signed({"alg": "HS256"}, {"sub": "ann", "exp": NOW + 60}, "another secret"),
            signed({"alg": "HS512"}, {"sub": "ann", "exp": NOW + 60}),
            signed({}, {"sub": "ann", "exp": NOW + 60}),
            hs256(sub="ann", exp=NOW + 60, padding="x" * MAX_TOKEN_CHARACTERS),
        ],
    )
    def test_anything_else_is_unauthorized_in_the_same_words(self, token: str) -> None:
        with pytest.raises(Unauthorized, match=r"^The token is not valid\.$"):
            self.tokens.verify(token, now=NOW)

    @pytest.mark.parametrize("algorithm", ["none", "None", "NONE", "HS384", "RS256"])
    def test_the_token_does_not_choose_its_algorithm(self, algorithm: str) -> None:
        _, claims, signature = hs256(sub="ann", exp=NOW + 60).split(".")
        header = encoded(json.dumps({"alg": algorithm}).encode())
        for end in ("", signature):
            with pytest.raises(Unauthorized):
                self.tokens.verify(f"{header}.{claims}.{end}", now=NOW)

    def test_damage_anywhere_is_unauthorized_and_never_another_error(self) -> None:
        draw = random.Random(7)
        token = self.tokens.mint("ann", "s1", ttl_s=60, now=NOW)
        for _ in range(500):
            at = draw.randrange(len(token) - 1)
            damaged = token[:at] + chr(draw.randrange(1, 300)) + token[at + 1 :]
            if damaged != token:
                with pytest.raises(Unauthorized):
                    self.tokens.verify(damaged, now=NOW)

    def test_json_that_is_nested_without_end_is_unauthorized(self) -> None:
        part = encoded(b"[" * 300)
        deep = encoded(b"[" * 2500)
        for token in (f"{part}.{part}.{part}", f"{encoded(b'{}')}.{deep}.x"):
            with pytest.raises(Unauthorized):
                self.tokens.verify(token, now=NOW)

    @pytest.mark.parametrize(
        ("user_id", "session_id", "ttl_s"),
        [("", None, 60), ("ann", "", 60), ("ann", None, 0), ("ann", None, float("inf"))],
    )
    def test_a_token_that_no_offer_could_use_is_not_minted(
        self, user_id: str, session_id: str | None, ttl_s: float
    ) -> None:
        with pytest.raises(ValueError, match=r"user_id|session_id|ttl_s"):
            self.tokens.mint(user_id, session_id, ttl_s=ttl_s, now=NOW)

    @pytest.mark.parametrize("secret", ["", "short", "x" * 31])
    def test_a_weak_secret_is_refused_at_start(self, secret: str) -> None:
        with pytest.raises(ConfigurationError, match="32"):
            Tokens(secret)

    def test_a_public_key_is_no_secret(self) -> None:
        key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl"
        with pytest.raises(ConfigurationError, match="public key"):
            Tokens(key)


class TestBearerToken:
    @pytest.mark.parametrize("header", ["Bearer t", "bearer t", "BEARER   t ", "  Bearer t"])
    def test_the_scheme_is_read_in_any_case(self, header: str) -> None:
        assert bearer_token(header) == "t"

    @pytest.mark.parametrize("header", [None, "", "Bearer", "Bearer ", "Basic t", "t"])
    def test_a_header_of_another_kind_is_unauthorized(self, header: str | None) -> None:
        with pytest.raises(Unauthorized):
            bearer_token(header)


class TestIdentifier:
    @pytest.mark.parametrize("text", ["a", "ann@example.org", "a b", "日本", "a" * 128])
    def test_printable_text_is_one(self, text: str) -> None:
        assert is_identifier(text)

    @pytest.mark.parametrize("text", ["", " ", "a ", "a\n", "a\0", "\ud800", "a\u202e", "a" * 129])
    def test_the_rest_is_none(self, text: str) -> None:
        assert not is_identifier(text)


class TestAuthority:
    @pytest.mark.parametrize(
        ("text", "name", "port"),
        [
            ("localhost", "localhost", None),
            ("LocalHost:8080", "localhost", 8080),
            ("localhost.:8080", "localhost", 8080),
            ("localhost:", "localhost", None),
            ("127.0.0.1:1", "127.0.0.1", 1),
            ("[::1]", "::1", None),
            ("[0:0::0:1]:8080", "::1", 8080),
            ("[::FFFF:127.0.0.1]:80", "127.0.0.1", 80),
            ("a-b.example_c.org", "a-b.example_c.org", None),
        ],
    )
    def test_it_has_one_spelling(self, text: str, name: str, port: int | None) -> None:
        assert Authority.parse(text) == Authority(name, port)

    @pytest.mark.parametrize(
        "text",
        [
            "",
            ":8080",
            "::1",
            "[::1",
            "[::1]8080",
            "[::1%25lo]",
            "[localhost]",
            "a b",
            "user@localhost",
            "localhost:8080:1",
            "localhost:0",
            "localhost:65536",
            "localhost:+80",
            "localhost:٣",
            "localhost/",
            "localhost\n",
            "a..b",
            ".localhost",
            "\u212aate",
        ],
    )
    def test_anything_else_is_refused(self, text: str) -> None:
        with pytest.raises(ValueError):  # noqa: PT011 - the message is the text itself
            Authority.parse(text)


def answers(policy: OriginPolicy, *hosts: str, local_address: str | None = "127.0.0.1") -> bool:
    try:
        policy.check_host(list(hosts), local_address=local_address)
    except Forbidden:
        return False
    return True


class TestHost:
    policy = OriginPolicy(host="127.0.0.1", allow_hosts=["rtc.example", "other.example:8443"])

    @pytest.mark.parametrize(
        "host",
        [
            "localhost",
            "LOCALHOST:8080",
            "localhost:9999",
            "127.0.0.1:8080",
            "rtc.example",
            "RTC.example.:1234",
            "other.example:8443",
        ],
    )
    def test_localhost_the_bound_address_and_allowed_hosts_are_answered(self, host: str) -> None:
        assert answers(self.policy, host)

    @pytest.mark.parametrize(
        "host",
        [
            "evil.example",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "evil-localhost",
            "other.example",
            "other.example:443",
            "127.0.0.2",
            "0.0.0.0:8080",
            "0x7f000001",
            "2130706433",
            "127.1",
            "[::1]",
            "192.0.2.7",
        ],
    )
    def test_any_other_host_is_forbidden(self, host: str) -> None:
        assert not answers(self.policy, host)

    def test_a_missing_or_doubled_host_is_forbidden(self) -> None:
        assert not answers(self.policy)
        assert not answers(self.policy, "localhost", "localhost")

    def test_bound_to_all_addresses_the_one_that_was_connected_to_is_answered(self) -> None:
        policy = OriginPolicy(host="::")
        assert answers(policy, "192.0.2.7:8080", local_address="192.0.2.7")
        assert answers(policy, "192.0.2.7:8080", local_address="::ffff:192.0.2.7")
        assert answers(policy, "[FE80::1]:8080", local_address="fe80::1%eth0")
        assert not answers(policy, "192.0.2.8:8080", local_address="192.0.2.7")
        assert not answers(policy, "192.0.2.8:8080", local_address=None)

    def test_a_name_that_is_bound_to_is_answered(self) -> None:
        assert answers(OriginPolicy(host="Media.Example"), "media.example:8080")

    def test_an_allowed_host_may_be_a_bare_ipv6_address(self) -> None:
        assert answers(OriginPolicy(host="::", allow_hosts=["2001:db8::7"]), "[2001:db8::7]:80")

    @pytest.mark.parametrize("host", ["", "*", "https://rtc.example", "a b"])
    def test_an_allowed_host_that_cannot_be_read_stops_the_start(self, host: str) -> None:
        with pytest.raises(ConfigurationError, match="host"):
            OriginPolicy(host="127.0.0.1", allow_hosts=[host])


def may_use(policy: OriginPolicy, origin: str, host: str, *, secure: bool = False) -> bool:
    try:
        policy.check_origin([origin], Authority.parse(host), secure=secure)
    except Forbidden:
        return False
    return True


class TestOrigin:
    policy = OriginPolicy(
        host="127.0.0.1", allow_origins=["https://App.example/", "capacitor://localhost"]
    )

    def test_a_request_of_no_page_is_answered(self) -> None:
        host = Authority.parse("localhost:8080")
        assert self.policy.check_origin([], host, secure=False) is None

    @pytest.mark.parametrize(
        ("origin", "host"),
        [
            ("http://localhost:8080", "localhost:8080"),
            ("HTTP://LOCALHOST:8080", "localhost:8080"),
            ("http://[::1]:8080", "[0::1]:8080"),
            ("http://localhost", "localhost:80"),
            ("http://localhost:80", "localhost"),
            ("https://rtc.example", "rtc.example"),
        ],
    )
    def test_the_same_origin_is_answered(self, origin: str, host: str) -> None:
        assert may_use(self.policy, origin, host)

    @pytest.mark.parametrize(
        "origin", ["https://app.example", "https://APP.example:443", "capacitor://localhost"]
    )
    def test_an_allowed_origin_is_answered(self, origin: str) -> None:
        assert may_use(self.policy, origin, "localhost:8080")

    @pytest.mark.parametrize(
        "origin",
        [
            "null",
            "",
            "https://evil.example",
            "http://localhost",
            "http://localhost:3000",
            "http://127.0.0.1:8080",
            "http://localhost:8080.evil.example",
            "http://localhost:8080/",
            "http://user@localhost:8080",
            "http://app.example",
            "https://app.example:8443",
            "https://app.example.evil.example",
            "ftp://localhost:8080",
            "file://",
            "localhost:8080",
            "http://loca\u017fhost:8080",
            "capacitor://\u212aate",
            "http://localhost:8080, http://evil.example",
        ],
    )
    def test_any_other_origin_is_forbidden(self, origin: str) -> None:
        assert not may_use(self.policy, origin, "localhost:8080")

    def test_two_origins_are_forbidden(self) -> None:
        host = Authority.parse("localhost:8080")
        with pytest.raises(Forbidden):
            self.policy.check_origin(["http://localhost:8080"] * 2, host, secure=False)

    def test_over_tls_the_insecure_page_of_the_same_name_is_another_origin(self) -> None:
        assert may_use(self.policy, "https://localhost:8080", "localhost:8080", secure=True)
        assert not may_use(self.policy, "http://localhost:8080", "localhost:8080", secure=True)

    @pytest.mark.parametrize("origin", ["null", "*", "app.example", "https://app.example/x", ""])
    def test_an_allowed_origin_that_cannot_be_read_stops_the_start(self, origin: str) -> None:
        with pytest.raises(ConfigurationError, match="origin"):
            OriginPolicy(host="127.0.0.1", allow_origins=[origin])
