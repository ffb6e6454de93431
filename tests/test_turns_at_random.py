"""Texts at random to a model that stalls at random, on a manual clock: none is lost or mixed up."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

import pytest

from rtc_server.actions import SendText
from rtc_server.agent import live_events as live

from .conversation_stage import Stage

TYPING_S = 60.0
STALLS_UNTIL_S = 35.0
SECONDS = 100.0
TO_MODEL_S = 0.15
LEFT_S = 2.5

End = Literal["leaves", "ends"]


@dataclass
class FicklePerson:
    """Types at once, soon, or after a while, and often over the answer."""

    chance: random.Random
    next_at: float = 0.1
    texts: list[str] = field(default_factory=list)
    waited_for: list[str] = field(default_factory=list)
    """Texts whose answer had the time to begin before the next one was typed."""

    def type(self, stage: Stage, at: float) -> None:
        if at < self.next_at or at > TYPING_S:
            return
        self.texts.append(f"t{len(self.texts)}")
        stage.types(self.texts[-1])
        pause_s = self.chance.choice([0.05, 0.3, 1.5, 3.0, 6.0, 10.0])
        self.next_at = at + pause_s
        if pause_s >= 3.0 or stage.conversation.rules.text_during_speech == "queue":
            self.waited_for.append(self.texts[-1])


@dataclass
class FickleModel:
    """Answers each text in pieces that name it; often leaves an answer in the middle.

    A text over its answer interrupts it, and it says so; some of the rest may come before.
    An answer that it has left for long it takes for over, and says nothing of its end.
    """

    stage: Stage
    chance: random.Random
    due: list[tuple[float, Callable[[], None]]] = field(default_factory=list)
    latest: str = ""
    left_at: float | None = None
    said: str = ""
    answer: object = field(default_factory=object)

    def put(self, text: str, at: float) -> None:
        self.due.append((at + TO_MODEL_S, lambda: self._take(text, at + TO_MODEL_S)))

    def act(self, at: float) -> None:
        now = sorted((one for one in self.due if one[0] <= at), key=lambda one: one[0])
        self.due = [one for one in self.due if one[0] > at]
        for _, act in now:
            act()

    def _take(self, text: str, at: float) -> None:
        is_left = self.left_at is not None and at - self.left_at > LEFT_S
        if self.said and not is_left:  # else its transcript goes on with the next answer
            if self.chance.random() < 0.5:
                self._say("rest ")
            self.stage.agent(live.ModelInterrupted())
            self._end()
        self.latest, self.left_at = text, None
        pieces = self.chance.randint(1, 4)
        stalls = at < STALLS_UNTIL_S and self.chance.random() < 0.35
        at += self.chance.uniform(0.05, 2.0)
        for n in range(pieces):
            is_last = n == pieces - 1
            ends: End | None = None if not is_last else "leaves" if stalls else "ends"
            self.due.append((at, self._piece(text, n, at, ends)))
            at += self.chance.uniform(0.02, 0.3)

    def _piece(self, text: str, n: int, at: float, ends: End | None) -> Callable[[], None]:
        def say() -> None:
            if self.latest == text:
                self._say(f"{text}.{n} ")
                if ends == "ends":
                    self._end()
                elif ends == "leaves":
                    self.left_at = at

        return say

    def _say(self, words: str) -> None:
        self.said += words
        if self.stage.modality == "text":
            self.stage.agent(live.AgentText(words))
        else:
            self.stage.speak(200)
            spoken = live.AgentTranscript(self.said, words, final=False, answer=self.answer)
            self.stage.agent(spoken)

    def _end(self) -> None:
        self.stage.agent(live.ModelTurnComplete())
        self.said, self.answer = "", object()


def converse(stage: Stage, chance: random.Random) -> list[str]:
    """The texts that are to be answered."""
    person, model = FicklePerson(chance), FickleModel(stage, chance)
    began, seen = stage.now, 0
    for step in range(int(SECONDS / 0.02)):
        stage.play(20)
        at = stage.now - began
        if step % 10 == 0:
            stage.actions += stage.conversation.tick(stage.now)
        person.type(stage, at)
        model.act(at)
        for action in stage.actions[seen:]:
            if isinstance(action, SendText):
                model.put(action.text, at)
        seen = len(stage.actions)
    return [*person.waited_for, person.texts[-1]]


def words_of_turns(stage: Stage) -> dict[int, set[str]]:
    """The texts that the words of each turn name."""
    said: dict[int, str] = {}
    for one in stage.sent("text"):
        said[one["turn"]] = said.get(one["turn"], "") + one["data"]
    for one in stage.sent("transcript"):
        if not one["final"]:
            said[one["turn"]] = one["text"]
    return {n: {word.partition(".")[0] for word in text.split()} for n, text in said.items()}


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("modality", ["audio", "text"])
@pytest.mark.parametrize("during_speech", ["interrupt", "queue"])
def test_each_text_is_answered_in_words_of_its_own_and_in_time(
    seed: int, modality: str, during_speech: str
) -> None:
    """Whatever was left in the middle before, and nobody is told that the agent is overdue."""
    stage = Stage(modality=modality, rules={"text_during_speech": during_speech})
    texts = converse(stage, random.Random(seed))
    turns = words_of_turns(stage)
    assert set(texts) - set().union(*turns.values()) == set()
    assert [words for words in turns.values() if len(words - {"rest"}) > 1] == []
    assert [one["turn"] for one in stage.sent("latency") if "response_ms" not in one] == []
    assert stage.sent("error") == []
    assert [n for n, _ in stage.turns()] == list(range(1, len(stage.turns()) + 1))
    assert stage.conversation.state == "listening"
