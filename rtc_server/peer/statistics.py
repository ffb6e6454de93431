"""aiortc's statistics in the shape of ``GET /api/calls/<id>``."""

from __future__ import annotations

from typing import Any

from aiortc import RTCPeerConnection
from aiortc.stats import (
    RTCInboundRtpStreamStats,
    RTCOutboundRtpStreamStats,
    RTCRemoteInboundRtpStreamStats,
    RTCStatsReport,
)

from . import aiortc_ice, aiortc_internals

__all__ = ["media_statistics", "packets_lost_downlink"]


async def media_statistics(pc: RTCPeerConnection) -> dict[str, Any]:
    """What was sent, received and lost, and on which addresses; parts that are unknown
    are left out.  Jitter and round-trip time in milliseconds.
    """
    found: dict[str, Any] = {"transports": [], "candidate_pairs": []}
    for transport in aiortc_internals.transports(pc):
        found["transports"].append({"ice": transport.transport.state, "dtls": transport.state})
        pair = aiortc_ice.selected_pair(transport)
        if pair is not None:
            found["candidate_pairs"].append(
                {
                    side: {"type": one.type, "address": one.host, "port": one.port}
                    for side, one in zip(("local", "remote"), pair, strict=True)
                }
            )
    for one in _all(await pc.getStats()):
        if isinstance(one, RTCInboundRtpStreamStats):
            found["uplink"] = {
                "packets": one.packetsReceived,
                "packets_lost": one.packetsLost,
                "jitter_ms": one.jitter / 48,
            }
        elif isinstance(one, RTCOutboundRtpStreamStats):
            found.setdefault("downlink", {}).update(packets=one.packetsSent, bytes=one.bytesSent)
        elif isinstance(one, RTCRemoteInboundRtpStreamStats):
            found.setdefault("downlink", {}).update(
                packets_lost=one.packetsLost, jitter_ms=one.jitter / 48
            )
            if one.roundTripTime is not None:
                found["round_trip_ms"] = one.roundTripTime * 1000
    return found


async def packets_lost_downlink(pc: RTCPeerConnection) -> int:
    """How many of our packets the caller reported as lost; late duplicates can make RTCP's
    figure negative, which is taken for none.
    """
    return sum(
        max(0, one.packetsLost)
        for one in _all(await pc.getStats())
        if isinstance(one, RTCRemoteInboundRtpStreamStats)
    )


def _all(report: RTCStatsReport) -> list[Any]:
    return list(report.values())
