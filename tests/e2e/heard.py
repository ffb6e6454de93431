"""What a caller has heard of answers, by ear, and whether the server says the same of them.

Nothing here is timed by a clock: what was heard is measured in the sound that arrived.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import av
import numpy as np
import pytest

from rtc_server.media.pcm import frame_bytes
from tests.peer.rtc_client import RATE, ReceivedPacket, RtcClient, dominant_frequency

__all__ = ["TOLERANCE_MS", "Heard", "Voice", "audible", "check_bias", "received_ms"]

TOLERANCE_MS = 60
"""Of each answer."""

MEAN_MS = 10
"""Of the mean of ten: what is said of answers is not too much or too little by nature."""

_LOUD = 1000
"""Root mean square of a millisecond that is of a word."""

_MS = RATE // 1000
_LAST_MS = 60
"""What of the end of a recording tells which word was heard last."""


@dataclass(frozen=True)
class Voice:
    """Words of known lengths that follow one another without a pause, each with its pitch."""

    words: Sequence[str]
    ends_ms: Sequence[int]
    """Of each, from the beginning of the answer."""
    pitches_hz: Sequence[float]

    def whole_words(self, ms: float) -> int:
        """How many have been heard to their end after so much sound."""
        return int(np.searchsorted(self.ends_ms, ms, side="right"))

    def has_pitch(self, hz: float, places: Iterable[int]) -> bool:
        """Whether that is the pitch of one of these words."""
        nearest = min(self.pitches_hz, key=lambda one: abs(one - hz))
        return any(self.pitches_hz[place] == nearest for place in places)


@dataclass(frozen=True)
class _Received:
    """What of an answer arrived."""

    ms: int
    """From the first sound of it to the last.

    Frames would be counted wrongly: an encoder looks ahead (6.5 ms), so that the end of the
    sound lies in one more than it was read in.
    """
    pitch_hz: float
    """Of what was heard last."""

    @classmethod
    def of(cls, packets: Sequence[ReceivedPacket], first: int) -> _Received:
        """By the packets from ``first`` on; the decoder hears those before, too."""
        decoder = av.CodecContext.create("libopus", "r")
        decoder.thread_count = 1
        decoder.sample_rate = RATE
        decoder.layout = "mono"
        pieces = []
        for number, packet in enumerate(packets):
            for frame in decoder.decode(av.Packet(packet.payload)):
                assert isinstance(frame, av.AudioFrame)
                if number >= first:
                    pieces.append(frame_bytes(frame))
        pcm = b"".join(pieces)
        blocks = np.frombuffer(pcm, "<i2").astype(np.float64).reshape(-1, _MS)
        loud = np.flatnonzero(np.sqrt(np.mean(blocks**2, axis=1)) > _LOUD)
        if not loud.size:
            return cls(0, 0.0)
        begin, end = int(loud[0]), int(loud[-1]) + 1
        last = pcm[2 * _MS * max(begin, end - _LAST_MS) : 2 * _MS * end]
        return cls(end - begin, dominant_frequency(last))


def audible(client: RtcClient, first: int) -> int:
    """How many packets of sound came, of 20 ms, from packet ``first`` on."""
    return sum(len(one.payload) > 20 for one in client.packets[first:])


def received_ms(packets: Sequence[ReceivedPacket]) -> int:
    """How much of a voice with pauses of its own was sent, if each talk spurt has ended.

    A spurt begins with the marker (RFC 3551, section 4.1), and its last packet empties the
    encoder.
    """
    return 20 * sum(not one.marker for one in packets)


def check_bias(told_ms: Sequence[int], measured_ms: Sequence[int]) -> None:
    """The errors are of both signs, or next to nothing."""
    errors = [told - measured for told, measured in zip(told_ms, measured_ms, strict=True)]
    assert abs(statistics.fmean(errors)) <= MEAN_MS, errors


class Heard:
    """One call in which answers are interrupted, and what was received of each."""

    def __init__(self, client: RtcClient, voice: Voice) -> None:
        self.client = client
        self.voice = voice
        self.first = 0
        self.turns: list[dict[str, Any]] = []
        self.received: list[_Received] = []

    async def until_heard(self, packets: int) -> None:
        """So much of the answer, in packets of 20 ms."""
        await self.client.wait_for(lambda: audible(self.client, self.first) >= packets, 20)

    async def take_turn(self, *, is_last: bool = False) -> None:
        """The next turn and what arrived of it; the one packet on its way is waited for.

        The next answer may have begun meanwhile: with a talk spurt of its own, since the model
        thinks for longer than a packet.
        """
        self.turns.append(await self.client.next_message("turn", 20))
        if not is_last:
            await self.client.wait_for(self._is_quiet)
        packets = self.client.packets
        later = range(self.first + 1, len(packets))
        end = next((n for n in later if packets[n].marker), len(packets))
        self.received.append(_Received.of(packets[:end], self.first))
        self.first = end

    def _is_quiet(self) -> bool:
        messages = self.client.messages[self.client.messages.index(self.turns[-1]) :]
        return any(one["type"] == "state" and one["state"] != "speaking" for one in messages)

    def check(self, answers: int) -> None:
        """So many answers were heard as the server says."""
        assert len(self.turns) == answers
        for turn, received in zip(self.turns, self.received, strict=True):
            self._check(turn, received)
        check_bias([one["heard_ms"] for one in self.turns], [one.ms for one in self.received])

    def _check(self, turn: dict[str, Any], received: _Received) -> None:
        assert turn["interrupted"] is True
        assert turn["heard_ms"] == pytest.approx(received.ms, abs=TOLERANCE_MS)
        words = turn["heard_text"].split()
        assert words == list(self.voice.words[: len(words)])
        assert abs(len(words) - self.voice.whole_words(received.ms)) <= 1
        # The ear's second opinion: the pitch that was heard last is of the next word, or this one.
        around = range(max(0, len(words) - 1), len(words) + 2)
        assert self.voice.has_pitch(received.pitch_hz, around)

    def final_transcripts(self) -> list[str]:
        """Of all answers of which something was heard, as the caller was told last."""
        finals = {
            one["turn"]: one["text"]
            for one in self.client.messages
            if one["type"] == "transcript" and one["role"] == "agent" and one["final"]
        }
        return [text for _, text in sorted(finals.items()) if text]
