"""One caller's peer connection: the only place where aiortc's callbacks arrive."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from types import TracebackType
from typing import Any, NoReturn, Protocol, Self

from aiortc import (
    RTCBundlePolicy,
    RTCConfiguration,
    RTCPeerConnection,
    RTCSessionDescription,
)
from aiortc.rtcdtlstransport import RTCDtlsTransport

from ..errors import CallEnded, CandidateError, OfferError, Outcome, ServerBusy
from ..headroom import Headroom
from ..media.playout_buffer import PlayoutBuffer, PlayoutFrame
from ..messages import ClientMessage, ServerMessage
from ..metrics import Metrics
from ..settings import Settings
from . import (
    aiortc_audio,
    aiortc_dtls,
    aiortc_fast_path,
    aiortc_ice,
    aiortc_internals,
    aiortc_liveness,
    aiortc_sctp,
    aiortc_tasks,
)
from .aiortc_video import MAX_VIDEO_BITRATE, VideoIntake
from .answer_sdp import compose_answer
from .candidates import parse_candidate
from .data_channel import DataChannel
from .downlink import Downlink
from .offer import Offer
from .packet_track import PacketTrack
from .statistics import media_statistics, packets_lost_downlink
from .uplink import Uplink, UplinkAudio
from .video_uplink import VideoUplink

__all__ = ["PeerConnection", "PeerSink"]

logger = logging.getLogger(__name__)

CLOSE_TIMEOUT_S = 2.0
"""How long an orderly close may take before tasks and sockets are closed by force."""

_FORCE_TIMEOUT_S = 0.5

LONE_END_S = 1.0
"""A peer that hangs up ends the association first and DTLS at once after it; when DTLS is still
up after this time, the messages are gone and the call is lost."""

_NO_PORT_RETRY_S = 5


class PeerSink(Protocol):
    """Takes what comes from the caller; called on the loop, must be quick."""

    def on_audio(self, audio: UplinkAudio) -> None:
        """20 ms of the caller's audio."""

    def on_stream_end(self) -> None:
        """The caller's audio has paused for so long that silence is no longer filled in."""

    def on_frame_sent(self, frame: PlayoutFrame, at: float) -> None:
        """20 ms of the agent's audio leave now."""

    def greeting(self) -> ServerMessage:
        """The first message of the data channel, asked for when it opens."""

    def on_message(self, message: ClientMessage) -> None:
        """The caller sent a valid message."""

    def takes_pictures(self) -> bool:
        """Whether there is anybody to look at a picture now."""

    def on_picture(self, jpeg: bytes) -> None:
        """A picture of what the caller shows now."""


class _State(Enum):
    NEW = "new"
    CONNECTING = "connecting"
    CONNECTED = "connected"
    ENDED = "ended"


class PeerConnection:
    """Answers an offer and carries the call's audio and messages until either side ends it.

    An asynchronous context manager: leaving it closes the connection, its sockets and its
    tasks, in bounded time.

    Args:
        offer: what the caller offered; see :func:`~rtc_server.peer.offer.parse_offer`.
        playout: the agent's audio; call ``downlink.wake()`` after writing to it.
        sink: is called with what the caller says and sends.
        headroom: as for :class:`~rtc_server.peer.downlink.Downlink`.
        clock: monotonic seconds.

    Attributes:
        data_channel: for the messages; there in every call, open or not.
        uplink: None when the caller sends no audio.
        downlink: None when the caller wants to hear none.
        video: None when the caller sends no video, or none is taken.
    """

    def __init__(
        self,
        offer: Offer,
        *,
        settings: Settings,
        metrics: Metrics,
        playout: PlayoutBuffer,
        sink: PeerSink,
        headroom: Headroom | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        aiortc_ice.configure_process()
        aiortc_sctp.configure_process()
        self._offer = offer
        self._settings = settings
        self._metrics = metrics
        self._candidates = offer.candidates
        self._state = _State.NEW
        self._outcome = Outcome.HANGUP
        self._connected = asyncio.Event()
        self._ended = asyncio.Event()
        self._close_task: asyncio.Task[None] | None = None
        self._lone_end: asyncio.TimerHandle | None = None

        # Never None: that would mean somebody else's STUN server, and a wait for it.
        # Where all is one bundle, no transport is made for a section that will not have one.
        bundle = RTCBundlePolicy.MAX_BUNDLE if offer.is_one_bundle else RTCBundlePolicy.BALANCED
        self._pc = RTCPeerConnection(RTCConfiguration(iceServers=[], bundlePolicy=bundle))
        self._pc.on("datachannel", self._on_data_channel)
        self._connecting = aiortc_tasks.own_connect_task(self._pc, self._on_connect_failure)

        self.data_channel = DataChannel(
            sink,
            limits=settings.limits,
            on_overflow=lambda: self._end(Outcome.LOST),
            message_bytes=offer.message_bytes,
            clock=clock,
        )
        self._is_fast = aiortc_fast_path.is_usable()
        self._intake: aiortc_fast_path.RtpIntake | None = None
        self._track: PacketTrack | None = None
        self.uplink: Uplink | None = None
        self.downlink: Downlink | None = None
        if offer.caller_sends:
            self.uplink = Uplink(sink, metrics=metrics, decoder=settings.decoder, clock=clock)
        self.video: VideoUplink | None = None
        self._video_intake: VideoIntake | None = None
        if offer.video is not None and self._is_fast:
            self.video = VideoUplink(
                offer.video.codec,
                sink,
                frames_per_s=settings.limits.frames_per_s,
                picture_px=settings.limits.picture_px,
                clock=clock,
            )
        if offer.caller_hears:
            self.downlink = Downlink(
                playout,
                fec=offer.fec,
                max_bitrate=offer.max_bitrate,
                on_frame=sink.on_frame_sent,
                metrics=metrics,
                headroom=headroom,
                clock=clock,
            )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    # ------------------------------------------------------------------
    # Negotiation
    # ------------------------------------------------------------------

    async def answer(self) -> str:
        """Negotiate and return the answer SDP, with all candidates in it; call once.

        Raises:
            OfferError: aiortc cannot take the offer after all.
            ServerBusy: no UDP port of the configured range is free.
        """
        try:
            return await self._negotiate()
        except aiortc_ice.PortsExhausted:
            raise ServerBusy("No media port is free.", _NO_PORT_RETRY_S) from None
        except Exception as problem:
            # Whatever aiortc trips over (ValueError, AssertionError, its own errors) is an
            # offer that cannot be answered; its words are not for the caller.
            logger.warning("aiortc refused an offer: %s", type(problem).__name__)
            raise OfferError("The offer cannot be answered.") from problem

    async def _negotiate(self) -> str:
        pc = self._pc
        self._state = _State.CONNECTING
        if self.downlink is not None:
            self._track = PacketTrack(self.downlink.start)
            sender = pc.addTrack(self._track)
            aiortc_audio.watch_loss(sender, self.downlink.on_loss)
            if self._is_fast:
                aiortc_fast_path.take_over_sender(sender, self.downlink.start)
        await pc.setRemoteDescription(RTCSessionDescription(self._offer.sdp, "offer"))
        if self.uplink is not None:
            [receiver] = pc.getReceivers()
            aiortc_audio.take_over_receiver(receiver, self.uplink.on_packet)
            if self._is_fast:
                self._intake = aiortc_fast_path.RtpIntake(receiver, self.uplink.on_packet)
        if pc.sctp is not None:
            aiortc_sctp.bound_reassembly(pc.sctp)
            aiortc_liveness.lose_what_cannot_be_sent(pc.sctp)
            aiortc_liveness.watch_association(pc.sctp, self._on_association_end)
        if self.video is not None:
            self._video_intake = self._take_video(self.video)
        aiortc_dtls.share_ssl_context(pc)
        for transport in aiortc_internals.transports(pc):
            aiortc_ice.gather_host_candidates(
                transport, self._settings.udp_ports, self._intake_of(transport)
            )
            aiortc_ice.end_checks_at_once(transport)
            aiortc_liveness.ask_for_consent(transport)
            transport.on("statechange", self._on_transport_state)
        await pc.setLocalDescription(await pc.createAnswer())
        return compose_answer(
            self._offer,
            pc.localDescription.sdp,
            public_ips=self._settings.public_ips,
            video_bitrate=None if self.video is None else MAX_VIDEO_BITRATE,
        )

    def _take_video(self, uplink: VideoUplink) -> VideoIntake:
        """On the transport of the bundle, ahead of the audio's intake, if that is there."""
        video, bundle = self._offer.video, self._offer.offered.bundle
        assert video is not None
        transport = _transport_of(self._pc, bundle)
        audio = self._intake_of(transport)
        return VideoIntake(transport, video, uplink, audio, metrics=self._metrics)

    def _intake_of(self, transport: RTCDtlsTransport) -> aiortc_ice.TakeDatagram | None:
        if self._video_intake is not None and self._video_intake.transport is transport:
            return self._video_intake.take
        if self._intake is None or self._intake.transport is not transport:
            return None
        return self._intake.take

    async def add_candidates(self, candidates: Sequence[Mapping[str, Any] | None]) -> None:
        """Take trickled candidates, as ``RTCIceCandidate.toJSON()`` has them.

        None and an empty candidate end them, which changes nothing: the connection is
        given up by its own deadline.

        Raises:
            CandidateError: one is malformed or one too many; those before it are taken.
        """
        for entry in candidates:
            line, mid, index = _candidate_fields(entry)
            if not line:
                continue
            candidate = parse_candidate(line)
            transport_mid = self._offer.transport_mid(mid, index)
            if candidate is None or transport_mid is None:
                continue
            if self._candidates >= self._settings.limits.candidates_per_call:
                raise CandidateError(
                    f"A call may have {self._settings.limits.candidates_per_call} candidates."
                )
            self._candidates += 1
            candidate.sdpMid = transport_mid
            if self._close_task is None:
                await self._pc.addIceCandidate(candidate)

    # ------------------------------------------------------------------
    # The life of the connection
    # ------------------------------------------------------------------

    async def wait_connected(self) -> None:
        """Wait until media and messages can flow.

        Raises:
            CallEnded: with ``never_connected``, after ``limits.connect_timeout_s`` or as
                soon as it is certain.
        """
        try:
            async with asyncio.timeout(self._settings.limits.connect_timeout_s):
                await self._connected.wait()
        except TimeoutError:
            self._end(Outcome.NEVER_CONNECTED)
        if self._state is not _State.CONNECTED:
            raise CallEnded(self._outcome)

    async def wait_closed(self) -> NoReturn:
        """Wait until the peer is gone.

        Raises:
            CallEnded: always, with ``hangup`` when the peer closed the connection, ``lost``
                when it vanished or does not read, ``never_connected`` when it never came.
        """
        await self._ended.wait()
        raise CallEnded(self._outcome)

    def _end(self, outcome: Outcome) -> None:
        if self._state is _State.ENDED:
            return
        if self._state is not _State.CONNECTED:
            outcome = Outcome.NEVER_CONNECTED
        self._state = _State.ENDED
        self._outcome = outcome
        self._ended.set()
        self._connected.set()

    async def stats(self) -> dict[str, Any]:
        """State and media statistics, ready for JSON."""
        return {
            "state": self._state.value,
            **await media_statistics(self._pc),
            **({"uplink_buffer": _counts(self.uplink)} if self.uplink is not None else {}),
            **({"uplink_refused": self._intake.refusals()} if self._intake is not None else {}),
            **self._video_statistics(),
        }

    def _video_statistics(self) -> dict[str, Any]:
        if self.video is None or self._video_intake is None:
            return {}
        return {"video": {**self.video.statistics(), **self._video_intake.statistics()}}

    # ------------------------------------------------------------------
    # The end
    # ------------------------------------------------------------------

    async def close(self) -> None:
        """Close the connection and leave nothing behind; may be called again, and at once.

        Takes three seconds at most.  A cancellation is passed on after that.
        """
        if self._close_task is None:
            self._close_task = asyncio.create_task(self._close(), name="peer-close")
        cancelled: asyncio.CancelledError | None = None
        while not self._close_task.done():
            try:
                await asyncio.shield(self._close_task)
            except asyncio.CancelledError as problem:
                # Half a close leaves sockets: it is bounded, and so finished first.
                cancelled = problem
        if cancelled is not None:
            raise cancelled
        self._close_task.result()

    async def _close(self) -> None:
        self._end(Outcome.HANGUP)
        if self._lone_end is not None:
            self._lone_end.cancel()
        if self.uplink is not None:
            self.uplink.close()
        if self.video is not None:
            self.video.close()
        if self.downlink is not None:
            self.downlink.stop()
        if self._track is not None:
            self._track.stop()
        self.data_channel.close()
        self._metrics.packets_lost.labels("downlink").inc(await packets_lost_downlink(self._pc))
        aiortc_tasks.release_dead_tasks(self._pc)
        try:
            async with asyncio.timeout(CLOSE_TIMEOUT_S):
                await self._pc.close()
        except TimeoutError:
            logger.warning("a peer connection did not close in time")
            await aiortc_tasks.abort(self._pc, _FORCE_TIMEOUT_S)
        if self._connecting:
            _, running = await asyncio.wait(self._connecting, timeout=_FORCE_TIMEOUT_S)
            for task in running:
                task.cancel()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_FORCE_TIMEOUT_S):
                await aiortc_tasks.stop_late_starters(self._pc)

    # ------------------------------------------------------------------
    # From aiortc
    # ------------------------------------------------------------------

    def _on_data_channel(self, channel: Any) -> None:
        self.data_channel.adopt(channel)

    def _on_transport_state(self) -> None:
        if self._close_task is not None:
            return
        transports = aiortc_internals.transports(self._pc)
        states = {one.state for one in transports}
        if "failed" in states:
            self._end(Outcome.LOST)
        elif "closed" in states:
            self._end(_why_closed(transports))
        elif states == {"connected"} and self._state is _State.CONNECTING:
            self._state = _State.CONNECTED
            self._connected.set()

    def _on_association_end(self) -> None:
        if self._close_task is None and self._state is _State.CONNECTED:
            loop = asyncio.get_running_loop()
            self._lone_end = loop.call_later(LONE_END_S, self._end, Outcome.LOST)

    def _on_connect_failure(self, problem: BaseException) -> None:
        if self._close_task is None:
            logger.warning("a peer cannot be connected to: %s", type(problem).__name__)
            self._end(Outcome.LOST)


def _transport_of(pc: RTCPeerConnection, bundle: Sequence[str]) -> RTCDtlsTransport:
    """The one that the sections of the bundle share."""
    for transceiver in pc.getTransceivers():
        if transceiver.mid in bundle:
            return transceiver.receiver.transport
    assert pc.sctp is not None
    return pc.sctp.transport


def _why_closed(transports: Sequence[RTCDtlsTransport]) -> Outcome:
    lost = any(one.state == "closed" and aiortc_ice.ice_was_lost(one) for one in transports)
    return Outcome.LOST if lost else Outcome.HANGUP


def _counts(uplink: Uplink) -> dict[str, int]:
    statistics = uplink.statistics()
    return {name: getattr(statistics, name) for name in statistics.__slots__}


def _candidate_fields(entry: Mapping[str, Any] | None) -> tuple[str, str | None, int | None]:
    if entry is None:
        return "", None, None
    line, mid, index = (entry.get(key) for key in ("candidate", "sdpMid", "sdpMLineIndex"))
    if line is None:
        line = ""
    is_index = index is None or (isinstance(index, int) and not isinstance(index, bool))
    if not (isinstance(line, str) and isinstance(mid, str | None) and is_index):
        raise CandidateError("The candidate is malformed.")
    return line, mid, index
