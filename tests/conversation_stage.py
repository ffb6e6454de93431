"""A conversation on a manual clock, for the tests of turn-taking."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from rtc_server.actions import Action
from rtc_server.agent import live_events as live
from rtc_server.conversation import Conversation, ConversationRules
from rtc_server.media.playout_buffer import PlayoutBuffer
from rtc_server.messages import ServerMessage

__all__ = ["RATE", "TONE_20_MS", "Stage"]


RATE = 24000
TONE_20_MS = b"\x00\x20" * (RATE // 50)


@dataclass
class Stage:
    """A conversation with a clock that only the test moves, and the downlink's part."""

    modality: Any = "audio"
    rules: dict[str, Any] = field(default_factory=dict)
    now: float = 100.0
    actions: list[Action] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.playout = PlayoutBuffer()
        self.conversation = Conversation(
            self.playout,
            ConversationRules(modality=self.modality, **self.rules),
            uplink_ms=lambda: 1.5,
        )
        self.actions += self.conversation.start(self.now)

    def agent(self, *events: live.LiveEvent) -> None:
        for event in events:
            self.actions += self.conversation.on_live_event(event, self.now)

    def speak(self, ms: int = 400) -> None:
        """The agent's audio comes in one burst."""
        self.agent(live.AgentAudio(TONE_20_MS * (ms // 20), RATE))

    def say(self, text: str) -> None:
        self.agent(live.AgentTranscript(text, text, final=False))

    def user_speaks(self, ms: int = 600) -> None:
        for _ in range(ms // 20):
            self.now += 0.02
            self.conversation.on_user_speech(self.now, 20)

    def user_says(self, text: str, *, final: bool = True) -> None:
        self.agent(live.UserTranscript(text, final))

    def types(self, text: str) -> None:
        self.actions += self.conversation.on_user_text(text, self.now)

    def play(self, ms: int) -> int:
        """Lets frames out for ``ms``; says how many milliseconds of old and new audio left."""
        played = 0
        for _ in range(ms // 20):
            self.now += 0.02
            frame = self.playout.read(self.now)
            if frame is not None:
                played += 0 if frame.closing else 20
                self.actions += self.conversation.on_frame_sent(frame, self.now)
        return played

    def wait(self, seconds: float) -> None:
        end = self.now + seconds
        while self.now < end:
            self.now += 0.2
            self.actions += self.conversation.tick(self.now)

    def sent(self, kind: str) -> list[dict[str, Any]]:
        return [
            one.to_dict()
            for one in self.actions
            if isinstance(one, ServerMessage) and one.type == kind
        ]

    def states(self) -> list[str]:
        return [one["state"] for one in self.sent("state")]

    def turns(self) -> list[tuple[int, bool]]:
        return [(one["turn"], one["interrupted"]) for one in self.sent("turn")]
