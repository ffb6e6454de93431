"""The rule-based language model of the embedded agent.

It decides from the conversation alone, so one instance serves all calls, and the same
conversation always gets the same answer: that is how a broken-off answer can be taken up
again where it stopped.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from google.adk.models.base_llm import BaseLlm
from google.adk.models.llm_request import LlmRequest
from google.adk.models.llm_response import LlmResponse
from google.genai import types
from typing_extensions import override

from .follow_up import Exchange, follow_up
from .intents import Intent, ToolCall, is_guess, understand
from .remarks import Remark
from .speech import WHERE_WAS_I, not_understood, say_remark, say_result
from .stories import JOKES

__all__ = ["GO_ON_NOTE", "Reply", "RuleBasedLlm", "respond", "split_sentences", "timer_note"]

GO_ON_NOTE = "[go on]"
"""A user turn that nobody said: take up the answer that was broken off."""

_TIMER_NOTE = re.compile(r"\[timer due: (?P<id>[^\];]*)(?P<go_on>; go on)?\]")
_SENTENCE = re.compile(r"(?<=[.!?])\s+")
_LOOK_BACK = 12
_MEMORY = 64
_LEAN_BACK = 4
_MOST_SENTENCES = 8


def timer_note(timer_id: str, *, go_on: bool = False) -> str:
    """Return the user turn that tells the model of a timer that is due.

    ``go_on`` says that an answer was broken off for it, which is to be taken up again.
    """
    return f"[timer due: {timer_id}{'; go on' if go_on else ''}]"


@dataclass(frozen=True, slots=True)
class Reply:
    """What the model wants: tools called, or else text spoken, or (both empty) nothing."""

    text: str = ""
    calls: tuple[ToolCall, ...] = ()


def respond(contents: Sequence[types.Content]) -> Reply:
    """Return the reply to the last of ``contents``; only the last 64 turns are looked at."""
    recent = contents[-_MEMORY:]
    return _Conversation(recent).reply(len(recent))


class _Conversation:
    """The turns so far; replies to earlier ones are worked out once and kept."""

    def __init__(self, contents: Sequence[types.Content]) -> None:
        self._contents = contents
        self._replies: dict[int, Reply] = {}
        self._understood: dict[int, list[Intent]] = {}

    def reply(self, length: int) -> Reply:
        """Return the reply to the last of the first ``length`` turns."""
        if length not in self._replies:
            self._replies[length] = self._respond(self._contents[:length])
        return self._replies[length]

    def _respond(self, contents: Sequence[types.Content]) -> Reply:
        if not contents:
            return Reply()
        if _responses(contents[-1]):
            return Reply(self._spoken_results(contents))
        if contents[-1].role != "user":
            return Reply()
        text = _text(contents[-1])
        if note := _TIMER_NOTE.fullmatch(text):
            return Reply(calls=(ToolCall("finish_timer", {"timer_id": note["id"]}),))
        if text == GO_ON_NOTE:
            return Reply(self._rest_of_answer(contents[:-1]))
        if not text.strip():
            return Reply()
        intents = self._intents(len(contents))
        calls = tuple(intent for intent in intents if isinstance(intent, ToolCall))
        if calls:
            return Reply(calls=calls)
        if (
            intents in ([], [Remark.ACKNOWLEDGED])
            and (undisturbed := self._undisturbed(contents)) is not None
        ):
            return undisturbed
        remarks = [intent for intent in intents if isinstance(intent, Remark)]
        said = [self._say(remark, contents) for remark in remarks]
        if len(said) > 1 and remarks[0] is Remark.GREETING:
            said[0] = "Hello!"
        return Reply(_join([*_finished_timers(contents), *(said or [not_understood(text)])]))

    def _intents(self, length: int) -> list[Intent]:
        """Understand the last of the first ``length`` turns, in the light of those before it."""
        if length not in self._understood:
            self._understood[length] = self._understand(self._contents[:length])
        return self._understood[length]

    def _understand(self, contents: Sequence[types.Content]) -> list[Intent]:
        if not _is_said(contents[-1]):
            return []
        text = _text(contents[-1])
        intents = understand(text)
        if is_guess(intents):
            # The end of a sentence that was begun in the turn before?
            begun = self._begun(len(contents) - 1)
            whole = understand(f"{begun.rstrip(' .?!')} {text}") if begun else []
            if not is_guess(whole):
                return whole
        before = self._before(len(contents) - 1)
        return follow_up(text, before) or self._in_turn(text, before) or intents

    def _in_turn(self, text: str, before: Sequence[Exchange]) -> list[Intent]:
        """Understand ``text`` sentence by sentence, where one leans on the one before it."""
        sentences = split_sentences(text)[:_MOST_SENTENCES]
        found: list[Intent] = []
        leans = False
        for sentence in sentences if len(sentences) > 1 else []:
            leaning = follow_up(sentence, before)
            intents = leaning or understand(sentence)
            if intents:
                before = [Exchange(sentence, tuple(intents)), *before]
            leans |= bool(leaning)
            found += intents
        return found if leans else []

    def _begun(self, length: int) -> str:
        """Return the last thing said among the first ``length`` turns, if it was not understood."""
        last = next((i for i in range(length, 0, -1) if _is_said(self._contents[i - 1])), 0)
        if not last or (last < length and not is_guess(self._intents(last))):
            return ""
        return _text(self._contents[last - 1])

    def _before(self, length: int) -> list[Exchange]:
        """Return what was understood of the last turns among the first ``length``, newest first."""
        exchanges: list[Exchange] = []
        said = (i for i in range(length, 0, -1) if _is_said(self._contents[i - 1]))
        for index in itertools.islice(said, _LOOK_BACK):
            intents = self._intents(index)
            if intents and not is_guess(intents):
                exchanges.append(Exchange(_text(self._contents[index - 1]), tuple(intents)))
                if len(exchanges) == _LEAN_BACK:
                    break
        return exchanges

    def _question(self, contents: Sequence[types.Content]) -> list[Intent]:
        """Return what the turn before the last call of tools asked for."""
        called = _last_call(contents)
        return self._intents(called) if called and _is_said(contents[called - 1]) else []

    def _undisturbed(self, contents: Sequence[types.Content]) -> Reply | None:
        """Return the answer that a cough cut off, if the last turn is no more than that.

        A cough comes out of the recogniser as one word that means nothing here ("Her."), and
        a listener who says "yeah" wants no more than to listen.
        """
        if len(contents) < 2 or len(_text(contents[-1]).split()) > 1:
            return None
        if contents[-2].role == "user":
            return self.reply(len(contents) - 1)
        if self._begun(len(contents) - 1):
            return None  # nobody misses the rest of "I did not understand"
        rest = self._rest_of_answer(contents[:-1], look_back=1)
        return Reply(rest) if rest else None

    def _say(self, remark: Remark, contents: Sequence[types.Content]) -> str:
        if remark is Remark.JOKE:
            return JOKES[self._told(remark, len(contents)) % len(JOKES)]
        if remark is Remark.REPEAT:
            said = (
                _text(content) for content in reversed(contents[:-1]) if content.role == "model"
            )
            return next((text.strip() for text in said if text.strip()), say_remark(remark))
        if remark is Remark.GO_ON:
            return self._rest_of_answer(contents[:-1]) or say_remark(remark)
        return say_remark(remark)

    def _told(self, remark: Remark, length: int) -> int:
        """Count the earlier turns that asked for ``remark``."""
        said = (i for i in range(1, length) if _is_said(self._contents[i - 1]))
        return sum(remark in self._intents(index) for index in said)

    def _spoken_results(self, contents: Sequence[types.Content]) -> str:
        """Answer the question that the tools were called for, in its own order."""
        results = _responses(contents[-1])
        due = any(name == "finish_timer" for name, _ in results)
        spoken = [] if due else _finished_timers(contents)
        for intent in self._question(contents):
            if isinstance(intent, Remark):
                greets = intent is Remark.GREETING
                spoken.append("Hello!" if greets else self._say(intent, contents))
                continue
            for index, (name, result) in enumerate(results):
                if intent.name == name:
                    spoken.append(say_result(name, result))
                    del results[index]
                    break
        spoken.extend(say_result(name, result) for name, result in results)
        return _join([*spoken, self._taken_up(contents)])

    def _taken_up(self, contents: Sequence[types.Content]) -> str:
        """Return what is left of the answer that a timer broke off, if one did."""
        called = _last_call(contents)
        note = _TIMER_NOTE.fullmatch(_text(contents[called - 1])) if called else None
        if note is None or not note["go_on"]:
            return ""
        rest = self._rest_of_answer(contents[: called - 1], look_back=1)
        rest = rest.removeprefix(WHERE_WAS_I).strip()  # broken off a second time, right there
        return f"{WHERE_WAS_I} {rest}" if rest else ""

    def _rest_of_answer(
        self, contents: Sequence[types.Content], look_back: int = _LOOK_BACK
    ) -> str:
        """Return what is left of the last answer broken off, from its broken sentence on."""
        tries = 0
        for index in range(len(contents) - 1, 0, -1):
            heard = _text(contents[index]).strip() if contents[index].role == "model" else ""
            if not heard:
                continue
            answer = self.reply(index).text
            if answer.startswith(heard) and len(answer) > len(heard):
                position = 0
                for sentence in split_sentences(answer):
                    position += len(sentence)
                    if position > len(heard) + 1:
                        return answer[position - len(sentence) :]
            tries += 1
            if tries >= look_back:
                break
        return ""


class RuleBasedLlm(BaseLlm):
    """A ``BaseLlm`` of plain rules: no network, no weights, an answer within a millisecond."""

    model: str = "rules"

    @override
    async def generate_content_async(
        self, llm_request: LlmRequest, stream: bool = False
    ) -> AsyncGenerator[LlmResponse, None]:
        """Yield the reply; with ``stream`` a sentence at a time and then once whole."""
        reply = respond(llm_request.contents)
        known = llm_request.tools_dict
        calls = [call for call in reply.calls if not known or call.name in known]
        if reply.calls and not calls:
            reply = Reply("I am sorry, I do not have the tools for that.")
        if stream and not calls:
            for sentence in split_sentences(reply.text):
                yield LlmResponse(content=_model_content(types.Part(text=sentence)), partial=True)
        parts = [
            types.Part(function_call=types.FunctionCall(name=call.name, args=call.args))
            for call in calls
        ]
        if not parts and reply.text:
            parts = [types.Part(text=reply.text)]
        yield LlmResponse(content=_model_content(*parts), partial=False)


def split_sentences(text: str) -> list[str]:
    """Split ``text`` after its sentences; joined, the pieces are the text again."""
    starts = [0, *(match.end() for match in _SENTENCE.finditer(text)), len(text)]
    return [text[a:b] for a, b in itertools.pairwise(starts) if a < b]


def _model_content(*parts: types.Part) -> types.Content:
    return types.Content(role="model", parts=list(parts))


def _last_call(contents: Sequence[types.Content]) -> int:
    """Return the index of the call of tools that the last of ``contents`` answers, or 0."""
    return next((i for i in range(len(contents) - 2, -1, -1) if _calls(contents[i])), 0)


def _is_said(content: types.Content) -> bool:
    """Whether a person said it: it is no tool's result and no note to the model."""
    if content.role != "user" or _responses(content):
        return False
    text = _text(content)
    return text != GO_ON_NOTE and not _TIMER_NOTE.fullmatch(text)


def _text(content: types.Content) -> str:
    return "".join(part.text for part in content.parts or [] if part.text and not part.thought)


def _responses(content: types.Content) -> list[tuple[str, Mapping[str, Any]]]:
    return [
        (part.function_response.name or "", part.function_response.response or {})
        for part in content.parts or []
        if part.function_response
    ]


def _calls(content: types.Content) -> bool:
    return any(part.function_call for part in content.parts or [])


def _finished_timers(contents: Sequence[types.Content]) -> list[str]:
    """Return the announcements of timers that were cut off before anything was heard."""
    announcements: list[str] = []
    for content in reversed(contents[-_LOOK_BACK:]):
        if content.role == "model" and _text(content).strip():
            break
        announcements[:0] = [
            say_result(name, result)
            for name, result in _responses(content)
            if name == "finish_timer"
        ]
    return announcements


def _join(pieces: Sequence[str]) -> str:
    return " ".join(piece for piece in pieces if piece)
