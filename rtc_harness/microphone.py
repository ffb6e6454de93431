"""The harness's microphone: a live track that speaks what it is given, and silence else."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import av
import numpy as np
from aiortc import MediaStreamTrack
from aiortc.mediastreams import MediaStreamError

from .levels import SAMPLE_RATE, Samples, speech_span
from .opus import FRAME_SAMPLES, LOOK_AHEAD_SAMPLES, TIME_BASE, OpusEncoder

__all__ = ["FRAME_S", "Microphone", "Utterance"]

FRAME_S = FRAME_SAMPLES / SAMPLE_RATE
"""Seconds of audio in a packet."""

_CATCH_UP_S = 0.2
"""After a stall this much is sent in a burst; of a longer one the rest is never spoken late."""


@dataclass(slots=True, eq=False)
class Utterance:
    """What is being said, and when it went out; times in seconds of the microphone's clock."""

    samples: Samples
    over: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when the last packet of it has left, trailing silence included, or it was cut off."""

    began_at: float | None = None
    """When the packet with its first audible sample left."""

    ended_at: float | None = None
    """When the packet with its last audible sample left."""

    last_sample_at: float | None = None
    """When that sample was spoken: up to a packet earlier, as a packet leaves when it is full."""

    position: int = 0
    _span: tuple[int, int] = field(init=False, default=(0, 0))

    def __post_init__(self) -> None:
        self._span = speech_span(self.samples) or (0, len(self.samples))

    def take(self) -> Samples:
        """The next 20 ms, filled up with silence at the end."""
        piece = self.samples[self.position : self.position + FRAME_SAMPLES]
        if len(piece) < FRAME_SAMPLES:
            piece = np.concatenate([piece, np.zeros(FRAME_SAMPLES - len(piece), dtype=np.int16)])
        return piece

    def left(self, at: float) -> None:
        """Note that the 20 ms at ``position`` left in a packet sent at ``at``."""
        # The packet holds what the encoder was given up to its look-ahead before now.
        end = self.position + FRAME_SAMPLES - LOOK_AHEAD_SAMPLES
        first, last = self._span
        if self.began_at is None and end > first:
            self.began_at = at
        if self.ended_at is None and end >= last:
            self.ended_at = at
            spoken = self.position + FRAME_SAMPLES - last
            self.last_sample_at = at - spoken / SAMPLE_RATE
        self.position += FRAME_SAMPLES

    @property
    def is_over(self) -> bool:
        """All of it, the encoder's look-ahead included, has left."""
        return self.position >= len(self.samples) + LOOK_AHEAD_SAMPLES


class Microphone(MediaStreamTrack):
    """A track of 20 ms Opus packets in real time, silent unless something is to be said.

    Packets keep the pace of one monotonic clock, so there is no drift; after a stall of up
    to 200 ms what is late goes out at once, after a longer one the rest of it is skipped.
    aiortc sends what it is given as it is: no executor, no second encoder.
    """

    kind = "audio"

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._clock = clock
        self._encoder = OpusEncoder()
        self._utterances: deque[Utterance] = deque()
        self._due_at: float | None = None
        self._pts = 0
        self._flowing = asyncio.Event()
        self._flowing.set()
        self.packets_sent = 0
        self.skipped_s = 0.0
        """Time that was never sent because the event loop stood still."""

    def say(self, samples: Samples) -> Utterance:
        """Speak ``samples`` (48 kHz mono) after what is being said; returns at once."""
        utterance = Utterance(samples)
        self._utterances.append(utterance)
        return utterance

    def hush(self) -> None:
        """Stop in mid-word: what has not been said is dropped."""
        while self._utterances:
            self._utterances.popleft().over.set()

    def pause(self) -> None:
        """Send no packets until :meth:`resume`, as a caller with DTX; time runs on meanwhile."""
        self._flowing.clear()

    def resume(self) -> None:
        """Send packets again."""
        self._flowing.set()

    async def recv(self) -> av.Packet[Any]:
        """The next packet, when it is due.

        Raises:
            MediaStreamError: the track was stopped.
        """
        await self._wait_until_due()
        if self.readyState != "live":
            raise MediaStreamError
        utterance = self._utterances[0] if self._utterances else None
        piece = np.zeros(FRAME_SAMPLES, dtype=np.int16) if utterance is None else utterance.take()
        packet = av.Packet(self._encoder.encode(piece))
        packet.pts = self._pts
        packet.time_base = TIME_BASE
        self._pts += FRAME_SAMPLES
        self.packets_sent += 1
        if utterance is not None:
            utterance.left(self._clock())
            if utterance.is_over:
                utterance.over.set()
                if self._utterances and self._utterances[0] is utterance:
                    self._utterances.popleft()
        return packet

    def stop(self) -> None:
        """End the track; whatever was being said is over."""
        super().stop()
        self.hush()
        self._flowing.set()

    async def _wait_until_due(self) -> None:
        now = self._clock()
        if self._due_at is None:
            self._due_at = now
        self._due_at += FRAME_S
        if not self._flowing.is_set():
            await self._flowing.wait()
            self._skip(self._clock() - self._due_at)
        elif now - self._due_at > _CATCH_UP_S:
            late = now - self._due_at - _CATCH_UP_S
            self.skipped_s += self._skip(late)
        await asyncio.sleep(max(0.0, self._due_at - self._clock()))

    def _skip(self, seconds: float) -> float:
        """Let whole frames of time pass unsent; the timestamps pass them too."""
        frames = max(0, int(seconds / FRAME_S))
        assert self._due_at is not None
        self._due_at += frames * FRAME_S
        self._pts += frames * FRAME_SAMPLES
        return frames * FRAME_S
