"""What is heard: decodes the agent's packets as they arrive and keeps them as a recording.

Pure: nothing here waits, time comes with each packet.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .aiortc_internals import ReceivedPacket
from .levels import SAMPLE_RATE, Samples, audible_span
from .opus import OpusDecoder

__all__ = ["HeardPacket", "Listener"]

_PAUSE_S = 0.06
"""A packet that comes this long after the end of the one before follows a pause of the
sender; sooner, it was only delayed on its way, and is played right after it."""

_MAX_CONCEALED_PACKETS = 50


@dataclass(frozen=True, slots=True)
class HeardPacket:
    """One decoded packet; times in seconds.

    ``began_at`` and ``ended_at`` span what is audible in it, as a player without a buffer
    would have played it; both are None for a silent packet.
    """

    arrived_at: float
    duration_s: float
    began_at: float | None
    ended_at: float | None


class Listener:
    """Decodes one received stream and records it, in time, as a 48 kHz mono recording.

    Args:
        started_at: when the recording begins.
        keep_audio: False records nothing, for calls by the hundred.
        max_seconds: the recording ends there; what comes later is heard and not kept.
    """

    def __init__(
        self, *, started_at: float, keep_audio: bool = True, max_seconds: float = 3600.0
    ) -> None:
        self._started_at = started_at
        self._keep_audio = keep_audio
        self._max_samples = int(max_seconds * SAMPLE_RATE)
        self._decoder = OpusDecoder()
        self._pieces: list[Samples] = []
        self._samples = 0
        self._last: ReceivedPacket | None = None
        self.packets = 0
        self.late = 0
        """Packets that came after one with a later number, or twice; not decoded."""

        self.missing = 0
        """Packets that had not come when a later one did."""

    def push(self, packet: ReceivedPacket) -> HeardPacket | None:
        """Hear a packet; None for one that is late, doubled or not to be decoded."""
        if self._last is not None:
            step = (packet.sequence_number - self._last.sequence_number) & 0xFFFF
            if step == 0 or step >= 0x8000:
                self.late += 1
                return None
            if step > 1:
                self.missing += step - 1
                self._fill(min(step - 1, _MAX_CONCEALED_PACKETS) * SAMPLE_RATE // 50)
        self._last = packet
        samples = self._decoder.decode(packet.payload)
        if samples.size == 0:
            return None
        self.packets += 1
        self._record(samples, packet.arrived_at)
        span = audible_span(samples)
        began_at = ended_at = None
        if span is not None:
            began_at = packet.arrived_at + span[0] / SAMPLE_RATE
            ended_at = packet.arrived_at + span[1] / SAMPLE_RATE
        return HeardPacket(packet.arrived_at, samples.size / SAMPLE_RATE, began_at, ended_at)

    def recording(self) -> Samples:
        """All that was heard so far from the start of the recording, silence included."""
        if not self._pieces:
            return np.zeros(0, dtype=np.int16)
        return np.concatenate(self._pieces)

    def _record(self, samples: Samples, arrived_at: float) -> None:
        behind = int((arrived_at - self._started_at) * SAMPLE_RATE) - self._samples
        if behind > _PAUSE_S * SAMPLE_RATE or self._samples == 0:
            self._fill(behind)
        self._keep(samples)

    def _fill(self, count: int) -> None:
        if count > 0 and self._keep_audio:
            self._keep(np.zeros(min(count, self._max_samples), dtype=np.int16))

    def _keep(self, samples: Samples) -> None:
        if self._keep_audio and self._samples + samples.size <= self._max_samples:
            self._pieces.append(samples)
            self._samples += samples.size
