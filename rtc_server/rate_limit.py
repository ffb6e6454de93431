"""How often a client address may make an offer."""

from __future__ import annotations

import ipaddress
import math
from collections import OrderedDict

from .errors import TooManyRequests

__all__ = ["OfferRateLimit"]


class OfferRateLimit:
    """A token bucket for each client address; a network of IPv6 (/64) counts as one client.

    The table is bounded: above ``max_clients`` the one that was heard of least recently is
    forgotten.
    """

    def __init__(self, *, per_minute: int, max_clients: int = 4096) -> None:
        self._capacity = float(per_minute)
        self._per_s = per_minute / 60.0
        self._max_clients = max_clients
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, address: str, now: float) -> None:
        """Count one offer of ``address`` at ``now`` (monotonic seconds).

        Raises:
            TooManyRequests: it is one too many; it does not count.
        """
        client = _client_of(address)
        level, at = self._buckets.pop(client, (self._capacity, now))
        level = min(self._capacity, level + (now - at) * self._per_s)
        allowed = level >= 1.0
        self._buckets[client] = (level - 1.0 if allowed else level, now)
        if len(self._buckets) > self._max_clients:
            self._buckets.popitem(last=False)
        if not allowed:
            wait_s = math.ceil((1.0 - level) / self._per_s)
            raise TooManyRequests("Too many offers from this address.", max(1, wait_s))


def _client_of(address: str) -> str:
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(parsed, ipaddress.IPv6Address) and parsed.ipv4_mapped is None:
        return str(ipaddress.ip_network((parsed, 64), strict=False))
    return address
