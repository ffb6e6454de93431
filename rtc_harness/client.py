"""A caller: one real WebRTC call to a server that keeps the public contract.

async with RtcClient.connect("http://localhost:8080") as client:
    question = await client.say(read_wav("question.wav"))
    answer = await client.answer_to(question)
    print(answer.said, answer.latency)
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import aiohttp
from aiortc import (
    RTCConfiguration,
    RTCDataChannel,
    RTCIceServer,
    RTCPeerConnection,
    RTCRtpTransceiver,
    RTCSessionDescription,
)
from aiortc.exceptions import InvalidStateError

from .aiortc_internals import (
    ReceivedPacket,
    drop_outgoing_rtp,
    go_dark,
    offer_loopback_where_alone,
    stop_decoder_thread,
    tap_receiver,
)
from .caller_tools import CallerTools
from .camera import Camera, PictureMessage
from .conversation import Answer, Conversation, Question
from .errors import CallEndedEarly, CallRefused, NeverConnected, Unanswered
from .levels import SAMPLE_RATE, Samples
from .listener import Listener
from .microphone import Microphone
from .network import network_report, with_browser_opus_parameters
from .signalling import CallRequest, PlacedCall, Signalling

__all__ = ["Message", "RtcClient"]

T = TypeVar("T")

QUIET_S = 0.3
"""The agent has stopped speaking when nothing was audible for this long."""

_TICK_S = 0.02
"""How often a condition is looked at while nothing happens: silence announces itself by
nothing, so waiting for it needs a clock."""

_CLOSE_TIMEOUT_S = 5.0
_MAX_MESSAGES = 100_000


@dataclass(frozen=True, slots=True)
class Message:
    """A message of the server and when it arrived, in monotonic seconds."""

    at: float
    body: dict[str, Any]


class RtcClient:
    """One call; made by :meth:`connect`, which also closes it.

    All times are seconds of :func:`time.monotonic`.  ``conversation`` holds what was said
    and heard, ``microphone`` speaks, ``listener`` has the recording (both None in a call
    without an audio section), ``camera`` shows (None in a call without a video section).
    Messages are kept, 100,000 at most; what comes after that is counted in
    ``messages_dropped`` and still reaches ``conversation``.
    """

    def __init__(
        self,
        connection: RTCPeerConnection,
        *,
        audio: bool,
        video: bool = False,
        keep_audio: bool,
        on_message: Callable[[Mapping[str, Any], float], None] | None,
        tools: CallerTools | None = None,
    ) -> None:
        self.started_at = time.monotonic()
        self.connected_at: float | None = None
        self.conversation = Conversation()
        self.messages: list[Message] = []
        self.messages_dropped = 0
        self.questions: list[Question] = []
        self.ended_because: str | None = None
        """Why the call is over; None while it lives."""

        self.microphone: Microphone | None = None
        self.listener: Listener | None = None
        self.camera: Camera | None = None
        self._connection = connection
        self._on_message_hook = on_message
        self._tools = tools if tools is not None else CallerTools()
        self._tools.open(self.send)
        self._placed: PlacedCall | None = None
        self._changed = asyncio.Event()
        self._turns_taken = 0
        self._messages_taken = 0
        self._transceiver: RTCRtpTransceiver | None = None
        if audio:
            self._add_audio(keep_audio)
        if video:
            self.camera = Camera()
            connection.addTransceiver(self.camera, "sendonly")
        self._channel = self._add_channel()
        connection.on("connectionstatechange", self._on_connection_state)

    # ------------------------------------------------------------ open, close

    @classmethod
    @asynccontextmanager
    async def connect(
        cls,
        url: str,
        *,
        audio: bool = True,
        video: bool = False,
        request: CallRequest | None = None,
        token: str | None = None,
        ice_servers: tuple[RTCIceServer, ...] = (),
        timeout_s: float = 15.0,
        keep_audio: bool = True,
        on_message: Callable[[Mapping[str, Any], float], None] | None = None,
        edit_offer: Callable[[str], str] | None = None,
        tools: CallerTools | None = None,
    ) -> AsyncIterator[RtcClient]:
        """Place a call, wait for its ``ready``, and hang it up at the end, however it ends.

        Args:
            url: the server, for instance ``http://localhost:8080``.
            audio: False offers no audio section: a text call.
            video: True offers a video section; ``camera`` says what is shown.
            request: session, user, agent, modality and run configuration to ask for.
            token: a call token, where the server wants one.
            ice_servers: STUN and TURN servers; none are asked by default.
            timeout_s: for the whole way to ``ready``.
            keep_audio: False keeps no recording.
            on_message: is told each message of the server as it comes, and its time.
            edit_offer: changes the SDP that the server gets to see, for tests.
            tools: what the agent may have run here, and who says yes or no to it; declared in
                the offer.  Without it there are none, and it is no.

        Raises:
            ServerUnreachable, CallRefused, NeverConnected, CallEndedEarly.
        """
        offer_loopback_where_alone()
        # An empty list: without one aiortc asks a public STUN server.
        connection = RTCPeerConnection(RTCConfiguration(iceServers=list(ice_servers)))
        client = cls(
            connection,
            audio=audio,
            video=video,
            keep_audio=keep_audio,
            on_message=on_message,
            tools=tools,
        )
        request = request or CallRequest()
        if client._tools.declarations:
            request = replace(request, client_tools=client._tools.declarations)
        async with aiohttp.ClientSession() as http:
            signalling = Signalling(http, url, token)
            try:
                await client._open(signalling, request, timeout_s, edit_offer)
                yield client
            finally:
                await client._close(signalling)

    async def _open(
        self,
        signalling: Signalling,
        request: CallRequest,
        timeout_s: float,
        edit_offer: Callable[[str], str] | None,
    ) -> None:
        deadline = self.started_at + timeout_s
        await self._connection.setLocalDescription(await self._connection.createOffer())
        sdp = with_browser_opus_parameters(self._connection.localDescription.sdp)
        if edit_offer is not None:
            sdp = edit_offer(sdp)
        self._placed = await signalling.offer(request, sdp, timeout_s=timeout_s)
        try:
            answer = RTCSessionDescription(sdp=self._placed.sdp, type="answer")
            await self._connection.setRemoteDescription(answer)
        except (ValueError, InvalidStateError, AssertionError) as error:
            raise CallRefused(f"The server's answer is not usable SDP: {error}.", 201) from None
        ready = await self.until(
            lambda: self.conversation.ready, deadline - time.monotonic(), what="The call"
        )
        if ready is None:
            how_far = self._connection.connectionState
            why = "no ready message came" if how_far == "connected" else f"it is {how_far}"
            raise NeverConnected(f"The call did not come up within {timeout_s:g} s: {why}.")
        self.connected_at = time.monotonic()
        if self._transceiver is not None:
            stop_decoder_thread(self._transceiver.receiver)

    async def _close(self, signalling: Signalling) -> None:
        if self.ended_because is None:
            self.ended_because = "the caller hung up"
            if self._placed is not None:
                await signalling.hang_up(self._placed)
        await self._release()

    async def _release(self) -> None:
        if self.microphone is not None:
            self.microphone.stop()
        if self.camera is not None:
            self.camera.stop()
        await self._tools.close()
        try:
            async with asyncio.timeout(_CLOSE_TIMEOUT_S):
                await self._connection.close()
        except TimeoutError:
            self.conversation.violations.append("the connection did not close in time")

    async def vanish(self) -> None:
        """Be gone without a word, as a caller whose machine lost its power."""
        self.ended_because = "the caller vanished"
        go_dark(self._connection)
        await self._release()

    # ---------------------------------------------------------------- who, what

    @property
    def placed(self) -> PlacedCall:
        """The server's answer to the offer: call, session, user, resume token."""
        assert self._placed is not None, "the call has not been placed"
        return self._placed

    @property
    def ready(self) -> dict[str, Any]:
        """The call's ``ready`` message."""
        assert self.conversation.ready is not None, "the call is not ready"
        return self.conversation.ready

    # ---------------------------------------------------------------- speaking

    async def say(self, samples: Samples, name: str = "") -> Question:
        """Speak 48 kHz mono samples in real time, over whatever the agent is saying.

        Returns when the last packet of them, their trailing silence included, has left.

        Raises:
            CallEndedEarly: before all of it was said.
        """
        assert self.microphone is not None, "the call has no audio"
        utterance = self.microphone.say(samples)
        await utterance.over.wait()
        if utterance.ended_at is None or utterance.began_at is None:
            raise CallEndedEarly(self._ended_sentence("The turn was cut off"))
        question = Question(
            kind="audio",
            input=name or f"{len(samples) / SAMPLE_RATE:.2f} s of audio",
            began_at=utterance.began_at,
            ended_at=utterance.ended_at,
            last_sample_at=utterance.last_sample_at,
        )
        self.questions.append(question)
        return question

    def send_image(self, picture: PictureMessage) -> None:
        """Send a picture; it is no turn, but belongs to the next one.

        Raises:
            CallEndedEarly: the data channel is closed.
        """
        self.send(picture.to_json())

    def send_text(self, text: str) -> Question:
        """Type a turn."""
        at = time.monotonic()
        self.send({"type": "text", "mime_type": "text/plain", "data": text})
        question = Question(kind="text", input=text, began_at=at, ended_at=at)
        self.questions.append(question)
        return question

    def send(self, message: Mapping[str, Any] | str | bytes) -> None:
        """Send any message; a string or bytes go out as they are, JSON or not.

        Raises:
            CallEndedEarly: the data channel is closed.
        """
        raw = message if isinstance(message, str | bytes) else json.dumps(message)
        try:
            self._channel.send(raw)
        except (InvalidStateError, ConnectionError):
            raise CallEndedEarly(self._ended_sentence("The message was not sent")) from None

    def drop_packets(self, count: int) -> None:
        """Lose the next ``count`` packets of the microphone on their way."""
        assert self._transceiver is not None, "the call has no audio"
        drop_outgoing_rtp(self._transceiver.sender, count)

    # --------------------------------------------------------------- listening

    async def answer_to(
        self, question: Question, timeout_s: float = 30.0, *, settle: bool = True
    ) -> Answer:
        """The answer to a turn, when its ``turn`` message has come and it is quiet.

        Without ``settle`` it is returned as soon as it is over, quiet or not.

        Raises:
            Unanswered: none came within ``timeout_s`` of the question's end.
            CallEndedEarly: the call was over before.
        """
        deadline = question.ended_at + timeout_s
        left_s = deadline - time.monotonic()
        answer = await self.until(lambda: self.conversation.answer_to(question), left_s)
        if answer is None or (answer.ended_at or 0.0) > deadline:
            why = self.conversation.why_unanswered(question) if answer is None else "it was late"
            raise Unanswered(f"The agent did not answer within {timeout_s:g} s: {why}.")
        if settle:
            await self._wait_for_quiet(answer)
        return answer

    async def next_turn(self, timeout_s: float = 30.0) -> Answer:
        """The next answer that ends, asked for or not; each is given once.

        Raises:
            Unanswered: none ended within ``timeout_s``.
            CallEndedEarly: the call was over before.
        """
        ended = self.conversation.ended
        taken = self._turns_taken
        answer = await self.until(lambda: ended[taken] if len(ended) > taken else None, timeout_s)
        if answer is None:
            raise Unanswered(f"No turn ended within {timeout_s:g} s.")
        self._turns_taken += 1
        return answer

    async def next_message(
        self, kind: str | None = None, timeout_s: float = 30.0
    ) -> dict[str, Any]:
        """The next message (of type ``kind``) after the one returned before.

        Raises:
            Unanswered: none came within ``timeout_s``.
            CallEndedEarly: the call was over before.
        """

        def find() -> dict[str, Any] | None:
            while self._messages_taken < len(self.messages):
                body = self.messages[self._messages_taken].body
                self._messages_taken += 1
                if kind is None or body.get("type") == kind:
                    return body
            return None

        message = await self.until(find, timeout_s)
        if message is None:
            raise Unanswered(f"No {kind or 'message'} came within {timeout_s:g} s.")
        return message

    async def wait_until_audible(self, question: Question, timeout_s: float = 30.0) -> None:
        """Wait for the first sound (in a text call, text) after the end of ``question``.

        Raises:
            Unanswered: none came in time.
            CallEndedEarly: the call was over before.
        """
        if not await self.until(
            lambda: self.conversation.has_begun_to_answer(question) or None, timeout_s
        ):
            why = self.conversation.why_unanswered(question)
            raise Unanswered(f"The agent did not answer within {timeout_s:g} s: {why}.")

    async def wait_until_idle(self, timeout_s: float = 10.0) -> bool:
        """Wait until the agent neither speaks nor thinks; False if it is still at it."""
        came_up = self.connected_at or self.started_at

        def idle() -> bool | None:
            now = time.monotonic()
            return (now - came_up >= QUIET_S and self.conversation.is_idle(now, QUIET_S)) or None

        return await self.until(idle, timeout_s) is not None

    async def wait_until_ended(self, timeout_s: float = 30.0) -> str | None:
        """Wait until the call is over; why, or None if it is not by then."""
        return await self.until(lambda: self.ended_because, timeout_s)

    async def until(
        self, condition: Callable[[], T | None], timeout_s: float, what: str = "The call"
    ) -> T | None:
        """The first value of ``condition`` that is not None; None when the time is up.

        It is asked again after each message and each packet, and every 20 ms.

        Raises:
            CallEndedEarly: the call is over and the condition still not met.
        """
        deadline = time.monotonic() + timeout_s
        while True:
            value = condition()
            if value is not None:
                return value
            if self.ended_because is not None:
                raise CallEndedEarly(self._ended_sentence(f"{what} ended early"))
            left_s = deadline - time.monotonic()
            if left_s <= 0:
                return None
            self._changed.clear()
            try:
                async with asyncio.timeout(min(left_s, _TICK_S)):
                    await self._changed.wait()
            except TimeoutError:
                continue

    async def statistics(self) -> dict[str, Any]:
        """Packets sent, received and lost, jitter and round trip; empty without audio."""
        if self._transceiver is None or self.listener is None:
            return {}
        return network_report(await self._connection.getStats(), packets_late=self.listener.late)

    # ------------------------------------------------------------------ inside

    async def _wait_for_quiet(self, answer: Answer) -> None:
        """Wait until the answer has faded; its timings may come meanwhile.  Not for ever."""

        quiet_s = _TICK_S if self.conversation.text_call else QUIET_S

        def quiet() -> bool | None:
            now = time.monotonic()
            ended_at = answer.ended_at or now
            return (now - ended_at >= quiet_s and self.conversation.is_quiet(now, quiet_s)) or None

        try:
            await self.until(quiet, timeout_s=5.0)
        except CallEndedEarly:
            return  # the turn was answered; the next one will find the call gone

    def _add_audio(self, keep_audio: bool) -> None:
        self.microphone = Microphone()
        self.listener = Listener(started_at=self.started_at, keep_audio=keep_audio)
        self._transceiver = self._connection.addTransceiver(self.microphone, "sendrecv")
        tap_receiver(self._transceiver.receiver, self._on_packet)

    def _add_channel(self) -> RTCDataChannel:
        channel = self._connection.createDataChannel("rtc-harness")
        channel.on("message", self._on_raw_message)
        channel.on("close", lambda: self._on_ended("the server closed the data channel"))
        return channel

    def _on_packet(self, packet: ReceivedPacket) -> None:
        assert self.listener is not None
        heard = self.listener.push(packet)
        if heard is None:
            return
        self.conversation.on_audio(heard.arrived_at, heard.duration_s)
        if heard.began_at is not None and heard.ended_at is not None:
            self.conversation.on_sound(heard.arrived_at, heard.began_at, heard.ended_at)
        self._changed.set()

    def _on_raw_message(self, raw: str | bytes) -> None:
        now = time.monotonic()
        try:
            body = json.loads(raw)
        except ValueError:
            body = None
        if not isinstance(body, dict):
            self.conversation.violations.append("a message is not a JSON object")
            return
        if len(self.messages) < _MAX_MESSAGES:
            self.messages.append(Message(now, body))
        else:
            self.messages_dropped += 1
        self.conversation.on_message(body, now)
        if self._on_message_hook is not None:
            self._on_message_hook(body, now)
        self._tools.on_message(body)
        self._changed.set()

    def _on_connection_state(self) -> None:
        state = self._connection.connectionState
        if state in ("closed", "failed"):
            self._on_ended(f"the connection is {state}")

    def _on_ended(self, reason: str) -> None:
        if self.ended_because is None:
            goaway = self.conversation.goaway
            self.ended_because = f"goaway: {goaway.get('reason')}" if goaway else reason
        if self.microphone is not None:
            self.microphone.stop()
        self._changed.set()

    def _ended_sentence(self, what: str) -> str:
        reason = self.ended_because or "the caller stopped"
        errors = self.conversation.errors
        said = f", after the error: {errors[-1].get('message')}" if errors else ""
        return f"{what}: {reason}{said}.".replace("..", ".")
