"""What the transport itself counted in a call: packets, losses, jitter, round trip."""

from __future__ import annotations

import re
from typing import Any

from aiortc.stats import RTCStatsReport

from .levels import SAMPLE_RATE

__all__ = ["network_report", "with_browser_opus_parameters"]

_OPUS = re.compile(r"^a=rtpmap:(\d+) opus/48000/2\r?\n", re.MULTILINE | re.IGNORECASE)


def network_report(stats: RTCStatsReport, *, packets_late: int) -> dict[str, Any]:
    """The figures of an audio call; those that are not known (yet) are None.

    Args:
        stats: of the peer connection.
        packets_late: packets that came twice or after their successor.
    """
    report: dict[str, Any] = {
        "packets_sent": 0,
        "packets_received": 0,
        "packets_lost": 0,
        "packets_late": packets_late,
        "jitter_ms": None,
        "round_trip_ms": None,
    }
    for one in stats.values():
        if getattr(one, "kind", "audio") != "audio":
            continue
        if one.type == "outbound-rtp":
            report["packets_sent"] += one.packetsSent
        elif one.type == "inbound-rtp":
            report["packets_received"] += one.packetsReceived
            report["packets_lost"] += one.packetsLost
            report["jitter_ms"] = _ms(one.jitter / SAMPLE_RATE)
        elif one.type == "remote-inbound-rtp" and one.roundTripTime is not None:
            report["round_trip_ms"] = _ms(one.roundTripTime)
    return report


def with_browser_opus_parameters(sdp: str) -> str:
    """An offer of aiortc with the Opus parameters that every browser offers.

    aiortc offers none; a server would then send without forward error correction
    (RFC 7587, section 6.1).
    """
    return _OPUS.sub(
        lambda found: f"{found[0]}a=fmtp:{found[1]} minptime=10;useinbandfec=1\r\n", sdp
    )


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 1)
