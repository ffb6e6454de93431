"""The candidates of a caller, who is a stranger: read, and left out where they must not be used."""

from __future__ import annotations

import ipaddress
import re

from aiortc import RTCIceCandidate

from ..errors import CandidateError

__all__ = ["parse_candidate"]

MAX_CANDIDATE_CHARACTERS = 512

_FOUNDATION = re.compile(r"[A-Za-z0-9+/]{1,32}")


def parse_candidate(line: str) -> RTCIceCandidate | None:
    """Parse a ``candidate:`` line (RFC 8839 section 5.1).

    Returns:
        The candidate, without section; None when it is to be left out: TCP, a component
        other than RTP, a host name (mDNS names take a second to resolve, or not to), a
        multicast, broadcast, unspecified, reserved or link-local address, port 0.

    Raises:
        CandidateError: the line is no candidate.
    """
    if len(line) > MAX_CANDIDATE_CHARACTERS:
        raise CandidateError("The candidate is too long.")
    line = line.strip().removeprefix("a=")
    fields = line.removeprefix("candidate:").split()
    if not line.startswith("candidate:") or len(fields) < 8 or fields[6] != "typ":
        raise CandidateError("The candidate is malformed.")
    foundation, component, protocol, priority, address, port, _, kind = fields[:8]
    if _FOUNDATION.fullmatch(foundation) is None:
        raise CandidateError("The candidate's foundation is malformed.")
    if kind not in ("host", "srflx", "prflx", "relay"):
        raise CandidateError("The candidate's type is unknown.")
    numbers = [_number(component, 256), _number(priority, 2**32 - 1), _number(port, 65535)]
    if numbers[0] != 1 or numbers[2] == 0 or protocol.lower() != "udp" or kind == "prflx":
        return None
    usable = _usable_address(address)
    if usable is None:
        return None
    return RTCIceCandidate(
        component=1,
        foundation=foundation,
        ip=usable,
        port=numbers[2],
        priority=numbers[1],
        protocol="udp",
        type=kind,
    )


def _number(text: str, maximum: int) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 10 and int(text) <= maximum):
        raise CandidateError("The candidate has a malformed number.")
    return int(text)


def _usable_address(text: str) -> str | None:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None  # a name
    if isinstance(address, ipaddress.IPv6Address):
        if address.scope_id is not None:
            return None
        if address.ipv4_mapped is not None:
            address = address.ipv4_mapped
    if (
        address.is_multicast
        or address.is_unspecified
        or address.is_reserved
        or address.is_link_local
        or address == ipaddress.IPv4Address("255.255.255.255")
    ):
        return None
    return str(address)
