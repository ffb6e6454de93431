"""Which frames of a video stream are decoded: a few a second, and the newest; pure.

A model looks once a second, and a decoder that follows 30 frames a second works for nobody.
So a key frame is asked for (PLI, RFC 4585 section 6.3.1) when a picture is due, and it alone is
decoded.  Between pictures packets are not even decrypted.

A sender that does not answer such requests is followed: from its next key frame on, all frames
are kept and decoded together, once for each picture.  So is every sender where more than two
pictures a second are wanted.
"""

from __future__ import annotations

from dataclasses import dataclass

from .frame_assembler import EncodedFrame, FrameAssembler

__all__ = ["VideoSampler"]

FIRST_S = 0.2
"""A stream begins with a key frame, which takes so long to arrive, if it was not missed."""

ASK_AGAIN_S = 0.5
"""A key frame that was asked for takes a round trip and an encoder's time."""

GIVE_UP_S = 0.25
"""A key frame that nothing came of for this long lacks a packet that does not come again."""

MAX_REQUESTS = 4
"""So many requests without a packet in answer: the stream has paused."""

FOLLOW_AFTER_S = 3.0
"""A sender that has been asked for so long does not know the request."""

FOLLOW_BELOW_S = 0.5
"""Key frames more often than this would be all that a sender sends."""

ALIVE_S = 1.0
"""A stream without packets for so long has paused; so it has after an interval, if longer."""

_MAX_CHAIN_BYTES = 3_000_000
_MAX_CHAIN_FRAMES = 240
_MAX_EARLY = 8


@dataclass(slots=True)
class VideoSampler:
    """Decides; see the module.  ``now`` is in monotonic seconds throughout.

    After :meth:`push` gave frames, :meth:`done` is to be called when they were decoded:
    nothing is due before.
    """

    assembler: FrameAssembler
    interval_s: float

    requests: int = 0
    """Key frames that were asked for."""

    _due_at: float | None = None
    _is_busy: bool = False
    _asked_at: float | None = None
    _asked: int = 0
    """Requests since the last packet that was looked at."""

    _waiting_since: float = 0.0
    _arrived_at: float | None = None
    _is_asleep: bool = True
    """Packets were left out: what comes now does not join what was there."""
    _is_following: bool = False
    _chain: list[EncodedFrame] | None = None
    """Frames since the last one that was decoded, without a gap; None: there is one."""
    _chain_end: int = 0
    _early: dict[int, EncodedFrame] | None = None

    def __post_init__(self) -> None:
        self._is_following = self.interval_s < FOLLOW_BELOW_S

    def start_over(self) -> None:
        """What comes now is another stream; the next picture is due when it was."""
        self.assembler.forget()
        self._chain = self._early = None
        self._asked_at = None
        self._is_following = self.interval_s < FOLLOW_BELOW_S

    def wants(self, now: float) -> bool:
        """Whether a packet that arrives now is of use; to be asked once for each."""
        self._arrived_at = now
        if self._due_at is None:
            self._due_at = self._waiting_since = now
            self._asked_at = now - ASK_AGAIN_S + FIRST_S
        is_wanted = self._is_following or (now >= self._due_at and not self._is_busy)
        if not is_wanted:
            self.rest()
        elif self._is_asleep:
            self._is_asleep = False
            self._waiting_since = now
        return is_wanted

    def rest(self) -> None:
        """Packets are left out: what comes later does not join what was there."""
        if not self._is_asleep:
            self._is_asleep = True
            self.assembler.forget()
            self._chain = self._early = None

    def push(
        self, sequence_number: int, timestamp: int, marker: bool, payload: bytes, now: float
    ) -> list[bytes] | None:
        """Take a packet that was wanted; frames to decode now, of which the last is to be shown."""
        self._asked = 0
        frame = self.assembler.push(sequence_number, timestamp, marker, payload, now)
        if frame is None:
            return None
        if frame.is_key:
            self._take_key(frame, now)
        elif self._is_following:
            self._take_next(frame)
        if self._is_busy or self._due_at is None or now < self._due_at or not self._chain:
            return None
        frames = [one.data for one in self._chain]
        self._chain.clear()
        self._is_busy = True
        self._due_at = now + self.interval_s
        self._asked_at = None
        if not self._is_following:
            self._chain = None
        return frames

    def done(self, *, broken: bool = False) -> None:
        """The frames were decoded; ``broken``: they could not be."""
        self._is_busy = False
        if broken:
            self._chain = None

    def asks(self, now: float) -> bool:
        """Whether a key frame is to be asked for now; if so, it counts as asked for."""
        if self._due_at is None or self._arrived_at is None or self._is_busy:
            return False
        if now < self._due_at or (self._is_following and self._chain is not None):
            return False
        if self._asked >= MAX_REQUESTS or (
            self._asked == 0 and now - self._arrived_at > max(ALIVE_S, self.interval_s)
        ):
            return False  # nobody sends
        if self._asked_at is not None and now - self._asked_at < self._patience_s(now):
            return False
        if self._asked_at is None:
            self._waiting_since = now
        elif now - self._waiting_since >= FOLLOW_AFTER_S:
            self._is_following = True
        self._asked_at = now
        self._asked += 1
        self.requests += 1
        return True

    def _patience_s(self, now: float) -> float:
        if self._is_following:
            return FOLLOW_AFTER_S
        is_lost = self.assembler.is_losing_key_frame(now, GIVE_UP_S)
        return GIVE_UP_S if is_lost else ASK_AGAIN_S

    def _take_key(self, frame: EncodedFrame, now: float) -> None:
        if self.interval_s >= FOLLOW_BELOW_S and self._chain is None and self._asked_at is not None:
            # It comes when it is asked for: there is no need to follow.
            self._is_following &= now - self._asked_at > ASK_AGAIN_S
        self._chain = [frame]
        self._chain_end = frame.last
        self._early = {}

    def _take_next(self, frame: EncodedFrame) -> None:
        if self._chain is None or self._early is None or frame.first <= self._chain_end:
            return
        self._early[frame.first] = frame
        while (following := self._early.pop(self._chain_end + 1, None)) is not None:
            self._chain.append(following)
            self._chain_end = following.last
        size = sum(len(one.data) for one in self._chain)
        if (
            len(self._early) > _MAX_EARLY
            or len(self._chain) > _MAX_CHAIN_FRAMES
            or size > _MAX_CHAIN_BYTES
        ):
            self._chain = None
            self._early = None
