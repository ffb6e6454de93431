"""The addresses of this machine, asked of the kernel for each call.

Interfaces come and go, so nothing is kept; asking costs a quarter of what ``ifaddr`` takes, which
asks for more and makes objects of all of it.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator

import ifaddr

__all__ = ["host_addresses"]

# rtnetlink(7): a dump of all addresses, and what its answers are made of.
_RTM_NEWADDR, _RTM_GETADDR, _NLMSG_ERROR, _NLMSG_DONE = 20, 22, 2, 3
_NLM_F_REQUEST_DUMP = 0x1 | 0x300
_IFA_ADDRESS, _IFA_LOCAL = 1, 2
_RT_SCOPE_LINK = 253
_HEADER = struct.Struct("=IHHII")  # nlmsghdr: length, type, flags, sequence, port
_ADDRESS = struct.Struct("=BBBBI")  # ifaddrmsg: family, prefix, flags, scope, interface
_ATTRIBUTE = struct.Struct("=HH")  # rtattr: length, type
_REQUEST = _HEADER.pack(
    _HEADER.size + _ADDRESS.size, _RTM_GETADDR, _NLM_F_REQUEST_DUMP, 1, 0
) + _ADDRESS.pack(0, 0, 0, 0, 0)
_ANSWER_BYTES = 64 * 1024
_LOOPBACK = ("127.0.0.1", "::1")


def host_addresses(use_ipv4: bool = True, use_ipv6: bool = True) -> list[str]:
    """All addresses but 127.0.0.1, ::1 and the link-local ones of IPv6, as text."""
    families = [socket.AF_INET] * use_ipv4 + [socket.AF_INET6] * use_ipv6
    try:
        found = _dumped()
    except (AttributeError, OSError):  # not Linux, or netlink is forbidden
        found = _listed()
    return [text for family, text in found if family in families]


def _dumped() -> list[tuple[int, str]]:
    """Family and text of each address, as the kernel lists them.

    Raises:
        OSError: netlink cannot be used.
        AttributeError: the system has none.
    """
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0) as kernel:
        kernel.settimeout(1.0)  # it answers within the call; nothing may hold up the loop for good
        kernel.send(_REQUEST)
        found: list[tuple[int, str]] = []
        while True:
            for kind, body in _messages(kernel.recv(_ANSWER_BYTES)):
                if kind == _NLMSG_DONE:
                    return found
                if kind == _NLMSG_ERROR:
                    raise OSError("netlink refuses to list the addresses")
                if kind == _RTM_NEWADDR:
                    found.extend(_usable(body))


def _messages(data: bytes) -> Iterator[tuple[int, bytes]]:
    offset = 0
    while offset + _HEADER.size <= len(data):
        length, kind, *_ = _HEADER.unpack_from(data, offset)
        yield kind, data[offset + _HEADER.size : offset + length]
        offset += max(_HEADER.size, length + 3 & ~3)


def _usable(body: bytes) -> Iterator[tuple[int, str]]:
    family, _, _, scope, _ = _ADDRESS.unpack_from(body)
    if family not in (socket.AF_INET, socket.AF_INET6):
        return
    values: dict[int, bytes] = {}
    offset = _ADDRESS.size
    while offset + _ATTRIBUTE.size <= len(body):
        length, kind = _ATTRIBUTE.unpack_from(body, offset)
        values[kind] = body[offset + _ATTRIBUTE.size : offset + length]
        offset += max(_ATTRIBUTE.size, length + 3 & ~3)
    # On a point-to-point interface the other one is the peer's.
    packed = values.get(_IFA_LOCAL) or values.get(_IFA_ADDRESS)
    if packed is None or (family == socket.AF_INET6 and scope == _RT_SCOPE_LINK):
        return
    text = socket.inet_ntop(family, packed)
    if text not in _LOOPBACK:
        yield family, text


def _listed() -> list[tuple[int, str]]:
    """The same by ``ifaddr``, which knows other systems too."""
    found: list[tuple[int, str]] = []
    for adapter in ifaddr.get_adapters():
        for one in adapter.ips:
            if isinstance(one.ip, str):
                found.append((socket.AF_INET, one.ip))
            elif one.ip[2] == 0:
                found.append((socket.AF_INET6, one.ip[0]))
    return [one for one in found if one[1] not in _LOOPBACK]
