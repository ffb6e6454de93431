"""Who may call: the call tokens, and which ``Host`` and ``Origin`` are answered.

Plain code: what time it is and what the request said are arguments.
"""

from __future__ import annotations

import ipaddress
import math
import re
import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from joserfc import jwt
from joserfc.errors import ExpiredTokenError, JoseError
from joserfc.jwk import OctKey

from .errors import ConfigurationError, Forbidden, Unauthorized

__all__ = [
    "MAX_IDENTIFIER_CHARACTERS",
    "MAX_TOKEN_CHARACTERS",
    "MIN_SECRET_BYTES",
    "Authority",
    "Caller",
    "OriginPolicy",
    "Tokens",
    "bearer_token",
    "is_identifier",
]

ALGORITHM = "HS256"

MIN_SECRET_BYTES = 32
"""A key of HS256 has at least the length of its hash (RFC 7518, section 3.2)."""

MAX_TOKEN_CHARACTERS = 4096
"""A longer token is refused before it is looked at."""

MAX_IDENTIFIER_CHARACTERS = 128
"""Length of a user's or a session's id; ADK's database keys hold no more."""

_DEFAULT_PORTS = {"http": 80, "https": 443}
_HOST_NAME = re.compile(r"[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?)*\.?")
_OTHER_ORIGIN = re.compile(r"[a-z][a-z0-9+.-]*://[a-z0-9._:-]+")


def is_identifier(text: str) -> bool:
    """Whether ``text`` can be the id of a user or a session.

    1 to 128 characters, all printable; no space at either end, because ADK strips it off
    and would then name another session.
    """
    return (
        0 < len(text) <= MAX_IDENTIFIER_CHARACTERS and text.isprintable() and text == text.strip()
    )


# --------------------------------------------------------------------------
# Tokens
# --------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Caller:
    """Whom a valid token speaks for; with a ``session_id`` it is good for that session only."""

    user_id: str
    session_id: str | None


class Tokens:
    """Mints and verifies call tokens: JWT (RFC 7519) signed with HS256.

    A ``resume_token`` is such a token with ``sid``.  Claims: ``sub``, ``sid`` (optional),
    ``iat``, ``exp`` (required).  No leeway: an expired token is expired.

    Args:
        secret: at least 32 bytes in UTF-8; shared with whoever mints tokens.

    Raises:
        ConfigurationError: the secret is too short, or is a public key.
    """

    def __init__(self, secret: str) -> None:
        raw = secret.encode(errors="surrogateescape")
        if len(raw) < MIN_SECRET_BYTES:
            raise ConfigurationError(
                f"The auth secret has {len(raw)} bytes; HS256 needs {MIN_SECRET_BYTES} or more "
                "(try: openssl rand -hex 32)."
            )
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                self._key = OctKey.import_key(raw)
        except (ValueError, Warning):
            raise ConfigurationError(
                "The auth secret looks like a public key or a certificate; "
                "give a random string instead (try: openssl rand -hex 32)."
            ) from None

    def mint(self, user_id: str, session_id: str | None = None, *, ttl_s: float, now: float) -> str:
        """A token for ``user_id``, narrowed to ``session_id`` if given.

        Args:
            ttl_s: seconds it is good for, rounded up to whole ones.
            now: seconds since the epoch.

        Raises:
            ValueError: an id that no offer could carry, or a lifetime that is not positive.
        """
        if not is_identifier(user_id):
            raise ValueError("user_id")
        if session_id is not None and not is_identifier(session_id):
            raise ValueError("session_id")
        if not (math.isfinite(ttl_s) and ttl_s > 0):
            raise ValueError("ttl_s")
        claims: dict[str, object] = {"sub": user_id, "iat": int(now), "exp": math.ceil(now + ttl_s)}
        if session_id is not None:
            claims["sid"] = session_id
        return jwt.encode({"alg": ALGORITHM}, claims, self._key, algorithms=[ALGORITHM])

    def verify(self, token: str, *, now: float) -> Caller:
        """Whom ``token`` speaks for.

        Args:
            now: seconds since the epoch.

        Raises:
            Unauthorized: anything at all is wrong with it; the message does not say what,
                except that it has expired (only for a token that we could have signed).
        """
        if len(token) > MAX_TOKEN_CHARACTERS or not token.isascii():
            raise Unauthorized("The token is not valid.")
        try:
            # The algorithm is ours to choose, never the token's (RFC 8725, section 3.1).
            claims = jwt.decode(token, self._key, algorithms=[ALGORITHM]).claims
        except (JoseError, ValueError, TypeError, KeyError, RecursionError):
            raise Unauthorized("The token is not valid.") from None
        # "iat" is left alone: a clock that runs ahead where tokens are minted does no harm.
        checked: dict[str, Any] = {
            name: claims[name] for name in ("sub", "sid", "exp", "nbf") if name in claims
        }
        registry = jwt.JWTClaimsRegistry(
            now=int(now), exp={"essential": True}, sub={"essential": True}
        )
        try:
            registry.validate(checked)
        except ExpiredTokenError:
            raise Unauthorized("The token has expired.") from None
        except (JoseError, ValueError, TypeError, OverflowError):
            raise Unauthorized("The token is not valid.") from None
        user_id, session_id = checked["sub"], checked.get("sid")
        if not is_identifier(user_id):
            raise Unauthorized("The token is not valid.")
        if session_id is not None and not (
            isinstance(session_id, str) and is_identifier(session_id)
        ):
            raise Unauthorized("The token is not valid.")
        return Caller(user_id, session_id)


def bearer_token(authorization: str | None) -> str:
    """The token of an ``Authorization: Bearer`` header (RFC 6750, section 2.1).

    Raises:
        Unauthorized: there is no such header, or it is of another kind.
    """
    scheme, _, token = (authorization or "").strip().partition(" ")
    token = token.strip()
    if scheme.lower() != "bearer" or not token:
        raise Unauthorized("This server asks for a token: Authorization: Bearer.")
    return token


# --------------------------------------------------------------------------
# Host and Origin
# --------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Authority:
    """A host, in one canonical spelling, and its port if one was given (RFC 3986, 3.2)."""

    name: str
    port: int | None

    @classmethod
    def parse(cls, text: str) -> Authority:
        """Read ``host``, ``host:port``, ``[v6]`` or ``[v6]:port``; case is folded.

        Raises:
            ValueError: it is none of these.
        """
        if not text.isascii():
            raise ValueError(text)
        text = text.lower()
        if text.startswith("["):
            literal, bracket, rest = text[1:].partition("]")
            if not bracket or "%" in literal or (rest and not rest.startswith(":")):
                raise ValueError(text)
            name, port = _canonical_address(ipaddress.IPv6Address(literal)), rest[1:]
        else:
            name, _, port = text.partition(":")
            if not _HOST_NAME.fullmatch(name):
                raise ValueError(text)
            name = name.removesuffix(".")
        if not port:
            return cls(name, None)
        if not re.fullmatch(r"[0-9]{1,5}", port) or not 0 < int(port) < 65536:
            raise ValueError(text)
        return cls(name, int(port))

    def port_for(self, scheme: str) -> int | None:
        """The port that a URL of ``scheme`` with this authority means."""
        return self.port or _DEFAULT_PORTS.get(scheme)


class OriginPolicy:
    """Which requests are answered, by their ``Host`` and ``Origin``.

    A page of some web site that makes its name point to 127.0.0.1 (DNS rebinding) sends
    that name as ``Host``; a page that calls us across sites sends its ``Origin``.  Neither is
    answered, unless the operator allowed it by name.

    Args:
        host: the address or name that the server binds to.
        allow_hosts: further hosts, with a port (only that one) or without (any).
        allow_origins: further origins, ``https://name[:port]``.

    Raises:
        ConfigurationError: one of these cannot be read.
    """

    def __init__(
        self, *, host: str, allow_hosts: Iterable[str] = (), allow_origins: Iterable[str] = ()
    ) -> None:
        self._names = {"localhost", _bound_name(host)}
        self._hosts = {_read_host(one) for one in allow_hosts}
        self._origins = {_read_origin(one) for one in allow_origins}

    def check_host(self, hosts: list[str], *, local_address: str | None) -> Authority:
        """The ``Host`` of a request.

        Args:
            hosts: the values of all its ``Host`` headers.
            local_address: our own address on this connection: "the bound address" of a server
                that is bound to all of them.

        Raises:
            Forbidden: it is missing, doubled, malformed, or not ours.
        """
        try:
            (text,) = hosts
            authority = Authority.parse(text)
        except ValueError:
            raise Forbidden("The request does not say which host it is for.") from None
        if (
            authority.name in self._names
            or authority in self._hosts
            or Authority(authority.name, None) in self._hosts
            or authority.name == _bare_address(local_address)
        ):
            return authority
        raise Forbidden("This server does not answer to that host name (see --allow-host).")

    def check_origin(self, origins: list[str], host: Authority, *, secure: bool) -> str | None:
        """The ``Origin`` of a request, if it has one; None: it comes from no web page.

        Args:
            origins: the values of all its ``Origin`` headers.
            host: what :meth:`check_host` returned.
            secure: the connection is TLS.  If it is not, a proxy in front may have ended TLS:
                the page's own scheme may be either then.

        Raises:
            Forbidden: the page is of another site.
        """
        if not origins:
            return None
        if len(origins) == 1:
            origin = origins[0]
            if _normal_origin(origin) in self._origins:
                return origin
            if _is_same_origin(origin, host, secure=secure):
                return origin
        raise Forbidden("Pages of that origin may not use this server (see --allow-origin).")


def _is_same_origin(origin: str, host: Authority, *, secure: bool) -> bool:
    scheme, separator, rest = origin.lower().partition("://")
    if not origin.isascii() or not separator or scheme not in _DEFAULT_PORTS:
        return False
    if secure and scheme != "https":
        return False
    try:
        page = Authority.parse(rest)
    except ValueError:
        return False
    return page.name == host.name and page.port_for(scheme) == host.port_for(scheme)


def _normal_origin(origin: str) -> str | None:
    """``origin`` in one spelling; None: it is not one (``null``, a path, a user name)."""
    scheme, separator, rest = origin.lower().partition("://")
    if not separator or not origin.isascii():
        return None
    if scheme not in _DEFAULT_PORTS:
        return origin.lower() if _OTHER_ORIGIN.fullmatch(origin.lower()) else None
    try:
        authority = Authority.parse(rest)
    except ValueError:
        return None
    return f"{scheme}://{authority.name}:{authority.port_for(scheme)}"


def _read_origin(text: str) -> str:
    normal = _normal_origin(text.strip().removesuffix("/"))
    if normal is None:
        raise ConfigurationError(
            f'"{text}" is no origin; one looks like https://example.org or http://localhost:3000.'
        )
    return normal


def _read_host(text: str) -> Authority:
    try:
        return Authority.parse(text.strip())
    except ValueError:
        bare = _bare_address(text.strip())
        if bare is None:
            raise ConfigurationError(
                f'"{text}" is no host; one looks like example.org, example.org:8443 or 192.0.2.7.'
            ) from None
        return Authority(bare, None)


def _bound_name(host: str) -> str:
    return _bare_address(host) or host.lower().removesuffix(".")


def _bare_address(text: str | None) -> str | None:
    """An IP address without brackets and zone, in one spelling; None: it is no address."""
    if text is None:
        return None
    try:
        return _canonical_address(ipaddress.ip_address(text.partition("%")[0]))
    except ValueError:
        return None


def _canonical_address(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> str:
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return (mapped or address).compressed
