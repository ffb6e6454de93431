"""What the caller means: from a sloppy transcript to tool calls and remarks.

Plain rules, tried in order on each sentence; nothing here knows of ADK.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Any

from .arithmetic import find_expression
from .numbers import tokenize
from .timers import find_request
from .units import find_conversion

__all__ = ["Intent", "Remark", "ToolCall", "understand"]


class Remark(Enum):
    """What the agent can say without a tool."""

    GREETING = auto()
    HOW_ARE_YOU = auto()
    WHO_ARE_YOU = auto()
    CAN_YOU_HEAR_ME = auto()
    THANKS = auto()
    GOODBYE = auto()
    HELP = auto()
    JOKE = auto()
    REPEAT = auto()
    GO_ON = auto()
    STOP = auto()
    TIMER_WITHOUT_TIME = auto()


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A tool of :class:`~.tools.Tools` and what to call it with."""

    name: str
    args: dict[str, Any] = field(default_factory=dict)


Intent = ToolCall | Remark

_MAX_CHARACTERS = 500  # what is longer is no question for this agent, and rules take time
_SENTENCE = re.compile(r"(?<=[.!?])\s+(?=[^\W\d])")
_GREETING = r"(?:hello|hi|hey|hiya|howdy|greetings|good (?:morning|afternoon|evening|day))"
_GREETINGS = re.compile(rf"{_GREETING}(?: there| again| everyone| agent| to you)*")
_POLITE = re.compile(
    r"(?:(?:well|so|ok|okay|oh|um|uh|er|now|then|and|but|please|alright|right|yes|no|actually|just"
    r"|(?:can|could|would|will) you(?! (?:hear|do|tell jokes|help))|i (?:would like|want) you to"
    r"|i would like to know|do you know(?= what| how)) )+"
)

_REMARKS: tuple[tuple[Remark, str], ...] = (
    (
        Remark.GO_ON,
        r"(?:go|carry|move) on(?: with .*)?|continue(?: .*)?|keep going|go ahead|and then"
        r"|what happened (?:then|next)|resume(?: .*)?|finish the story",
    ),
    (
        Remark.REPEAT,
        r"(?:repeat|say)(?: that| it| this)?(?: (?:again|once more|one more time))?"
        r"|(?:what did you|what have you) (?:say|said|just say)|(?:i beg your )?pardon(?: me)?"
        r"|come again|once more|again|one more time|i did not (?:hear|get|catch) (?:you|that|it)"
        r"|sorry what(?: did you say)?|what",
    ),
    (
        Remark.STOP,
        r"(?:stop|be quiet|quiet|silence|shut up|hush|never mind|nevermind|cancel|enough"
        r"|that is enough|forget it|hold on|wait|pause)(?: (?:that|it|talking|please|now|stop"
        r"|the story|a (?:second|minute|moment)))*",
    ),
    (
        Remark.HELP,
        r"help(?: me)?|what (?:else )?(?:can|do|could) you do|what are you able to do"
        r"|what (?:can|could|should) i (?:say|ask|do)(?: you)?"
        r"|how (?:can|do) you (?:help|work)(?: me)?"
        r"|what are your (?:skills|abilities|features)|what do you know",
    ),
    (
        Remark.JOKE,
        r"(?:tell me |tell us |tell |do you know |i want )?(?:a|another|some|any)? ?jokes?"
        r"|make me laugh|say something funny",
    ),
    (
        Remark.HOW_ARE_YOU,
        r"how (?:are|do) you(?: doing| do| feel)?(?: today)?|how is it going|what is up"
        r"|are you (?:well|ok|okay|fine)",
    ),
    (
        Remark.WHO_ARE_YOU,
        r"who are you|what are you|what is your name|(?:do )?you have a name"
        r"|who am i (?:talking|speaking) to"
        r"|introduce yourself|are you (?:a |an )?(?:robot|human|machine|computer|person|real|ai)",
    ),
    (
        Remark.CAN_YOU_HEAR_ME,
        r"(?:can|do) you hear me(?: now)?|are you (?:there|listening|still there)|testing"
        r"|test|is (?:anybody|anyone|somebody) there|mic check",
    ),
    (
        Remark.THANKS,
        r"(?:no )?(?:many )?(?:thanks|thank you|cheers)(?: .*)?"
        r"|(?:that is )?(?:great|good|nice|perfect|wonderful|excellent|cool|awesome|well done"
        r"|very good|lovely|amazing)(?: story| job)?",
    ),
    (
        Remark.GOODBYE,
        r"(?:good ?bye|bye|bye bye|see you|good night|farewell|so long|hang up)(?: .*)?"
        r"|i have to go(?: now)?|talk to you later",
    ),
    (Remark.GREETING, _GREETINGS.pattern),
)

_TIME = re.compile(
    r"what time|what is the (?:current )?time|tell me the time|the time please|current time"
    r"|time is it|time of day|have you got the time|how late is it|^the time$|what the time is"
)
_DATE = re.compile(
    r"what (?:day|date|month|year)|what is (?:the |today ?s? )?(?:current )?(?:date|day)\b"
    r"|(?:today|current|the) ?'?s? date|what is today|which day|what are we today|^the date$"
    r"|day (?:is it|of the week)|what is the (?:month|year)"
)
_TIME_LEFT = re.compile(
    r"how (?:much time|long|many (?:seconds|minutes)) (?:is|are|do i have)?(?: still)? ?"
    r"(?:left|to go|remaining)"
)
_STORY_WORDS = frozenset({"tell", "me", "us", "a", "another", "one", "the", "story", "stories"})
_STORY_WORDS |= frozenset({"tale", "long", "longer", "short", "good", "more", "of", "your", "any"})
_STORY = re.compile(r"\b(?:story|stories|tale)\b(?: about (?:the |an? |some )?(?P<topic>.+))?")

_RECALL = re.compile(
    r"(?:what (?:is|was|are)|do you (?:know|remember)(?: what)?|tell me|can you remember|say) "
    r"my (?P<key>[a-z ']+?)(?: is| are)?$"
)
_RECALL_KEYS: tuple[tuple[str, str], ...] = (
    (r"who am i|what am i called|do you (?:know|remember) who i am", "name"),
    (r"where do i live|where is my home|do you (?:know|remember) where i live", "home"),
    (r"where (?:am|do) i (?:come )?from", "origin"),
    (r"how old am i|do you (?:know|remember) how old i am", "age"),
    (r"what (?:do i do(?: for a living)?|is my (?:job|work|profession))", "job"),
    (r"what do i (?:like|love)(?: .*)?", "likes"),
    (
        r"what (?:else )?(?:do you (?:know|remember)|can you remember"
        r"|have you (?:learned|remembered)|do you recall)(?: about me)?"
        r"|what (?:have i|did i) (?:tell|told) you(?: .*)?"
        r"|(?:tell me )?(?:everything|all)(?: that)? you know about me|do you (?:know|remember) me"
        r"|tell me (?:something )?about (?:me|myself)",
        "",
    ),
)
_FORGET = re.compile(r"forget (?:about )?my (?P<key>[a-z ']+)$")
_FORGET_ALL = re.compile(
    r"forget (?:everything|all|about me|me|what (?:i|you)|it all|the things|whatever).*"
)

_STATEMENTS: tuple[tuple[str, str], ...] = (
    (r"my name(?: is|'s)(?: called)? (?P<value>.+)", "name"),
    (r"(?:please |you can |just )*call me (?!back|later|again)(?P<value>.+)", "name"),
    (r"i(?: am|'m) called (?P<value>.+)", "name"),
    (r"i(?: am|'m) (?P<value>\d+|[a-z -]+?) years? old", "age"),
    (r"i live (?:in|at|on|near) (?P<value>.+)", "home"),
    (r"i(?: come|'m| am) from (?P<value>.+)", "origin"),
    (r"i work as (?P<value>.+)", "job"),
    (
        r"i(?: really)? (?:like|love|enjoy) (?P<value>(?!you\b|to (?:know|hear)|it\b|that\b).+)",
        "likes",
    ),
    (r"my (?P<key>[\w' ]{2,40}?) (?:is|are) (?P<value>.+)", ""),
    (r"my (?P<key>[\w ]{2,40}?)'s (?P<value>.+)", ""),
    (r"remember(?: that|:|,)? (?P<value>(?!my\b|me\b|who\b|what\b|where\b).+)", "note"),
    (r"(?:make|take) a note(?: that| of|:|,)? (?P<value>.+)", "note"),
)
_STATEMENT_PREFIX = re.compile(
    r"(?:(?:well|so|ok|okay|and|but|yes|no|oh|um|uh|please|hello|hi|hey|by the way|also"
    r"|(?:please )?(?:remember|note)(?: that)?(?= (?:my|i)\b)|did you know(?: that)?)[,.!]?\s+)+",
    re.IGNORECASE,
)
_I_AM_NAME = re.compile(r"(?:I am|I'm|Im|This is) (?P<value>[A-Z][a-z]+(?: [A-Z][a-z]+)?)")
_SPELLINGS = {"favorite": "favourite", "color": "colour", "favourit": "favourite"}
_KEY_NAMES = {
    **dict.fromkeys(("home", "address", "city", "home town", "hometown", "town"), "home"),
    **dict.fromkeys(("job", "profession", "occupation", "work"), "job"),
    **dict.fromkeys(("first name", "name"), "name"),
}


def understand(text: str) -> list[Intent]:
    """Return what ``text`` asks for, sentence by sentence; empty if nothing was understood.

    Only the first 500 characters are looked at.
    """
    text = text[:_MAX_CHARACTERS].strip()
    sentences = [sentence for sentence in _SENTENCE.split(text) if sentence]
    found = [intent for sentence in sentences for intent in _understand_sentence(sentence)]
    if len(sentences) > 1 and all(intent is Remark.GREETING for intent in found):
        found = _understand_sentence(re.sub(r"[.!?]+(?=\s)", " ", text)) or found
    return found


def _understand_sentence(sentence: str) -> list[Intent]:
    words = " ".join(tokenize(sentence))
    greeting = _GREETINGS.match(words)
    if greeting and len(greeting[0]) < len(words):
        rest = _first_rule(_without_politeness(words[greeting.end() :].strip()), sentence)
        return [Remark.GREETING, rest] if rest is not None else []
    intent = _first_rule(_without_politeness(words), sentence)
    return [] if intent is None else [intent]


def _without_politeness(words: str) -> str:
    polite = _POLITE.match(words + " ")
    stripped = words[polite.end() :] if polite and polite.end() < len(words) else words
    stripped = re.sub(
        r"(?: (?:please|for me|now|then|thanks|thank you|again please))+$", "", stripped
    )
    return stripped or words


def _first_rule(words: str, sentence: str) -> Intent | None:
    if not words:
        return None
    for rule in _RULES:
        intent = rule(words, sentence)
        if intent is not None:
            return intent
    return None


def _timer(words: str, sentence: str) -> Intent | None:
    if not re.search(r"\b(?:timers?|remind me|reminders?|wake me|alarms?|countdown)\b", words):
        return None
    if re.search(r"\b(?:cancel|delete|remove|clear|turn off|kill|stop|end)\b", words):
        label = re.search(
            r"(?:cancel|delete|remove|clear|off|kill|stop|end) (?:the |my )?(.+?) timer", words
        )
        general = {
            "a",
            "the",
            "my",
            "all",
            "every",
            "all my",
            "all the",
            "last",
            "this",
            "that",
            "any",
        }
        name = label[1] if label and label[1] not in general else ""
        return ToolCall("cancel_timer", {"label": name})
    request = find_request(words)
    if request is not None:
        return ToolCall(
            "set_timer",
            {"seconds": request.seconds, "label": request.label, "reminder": request.reminder},
        )
    if re.search(r"\b(?:how (?:much|long|many)|list|what|which|any|left|show|is there)\b", words):
        return ToolCall("list_timers")
    return Remark.TIMER_WITHOUT_TIME


def _time_left(words: str, sentence: str) -> Intent | None:
    return ToolCall("list_timers") if _TIME_LEFT.fullmatch(words) else None


def _remark(words: str, sentence: str) -> Intent | None:
    return next((remark for remark, said in _REMARKS if re.fullmatch(said, words)), None)


def _story(words: str, sentence: str) -> Intent | None:
    found = _STORY.search(words)
    if found is None or re.match(r"(?:my|i|remember)\b", words):
        return None
    topic = found["topic"] or " ".join(set(words.split()) - _STORY_WORDS)
    return ToolCall("pick_story", {"topic": topic})


def _statement(words: str, sentence: str) -> Intent | None:
    plain = sentence.replace("\N{RIGHT SINGLE QUOTATION MARK}", "'").strip()
    plain = _STATEMENT_PREFIX.sub("", plain, count=1).rstrip(" .!,")
    if plain.endswith("?"):
        return None
    name = _I_AM_NAME.fullmatch(plain)
    if name:
        return ToolCall("remember", {"key": "name", "value": name["value"]})
    for pattern, key in _STATEMENTS:
        found = re.fullmatch(pattern, plain, re.IGNORECASE)
        if found:
            key = key or _key(found["key"])
            value = _own_words(found["value"]) if key != "name" else found["value"]
            return ToolCall("remember", {"key": key, "value": value})
    return None


def _memory(words: str, sentence: str) -> Intent | None:
    if _FORGET_ALL.fullmatch(words):
        return ToolCall("forget", {"key": ""})
    if forget := _FORGET.fullmatch(words):
        return ToolCall("forget", {"key": _key(forget["key"])})
    for pattern, key in _RECALL_KEYS:
        if re.fullmatch(pattern, words):
            return ToolCall("recall", {"key": key})
    if recall := _RECALL.fullmatch(words):
        return ToolCall("recall", {"key": _key(recall["key"])})
    return None


def _date(words: str, sentence: str) -> Intent | None:
    return ToolCall("get_current_date") if _DATE.search(words) else None


def _time(words: str, sentence: str) -> Intent | None:
    return ToolCall("get_current_time") if _TIME.search(words) else None


def _conversion(words: str, sentence: str) -> Intent | None:
    found = find_conversion(sentence)
    if found is None:
        return None
    value = float(found.value)
    return ToolCall(
        "convert_units",
        {
            "value": int(value) if value.is_integer() else value,
            "from_unit": found.from_unit,
            "to_unit": found.to_unit,
        },
    )


def _calculation(words: str, sentence: str) -> Intent | None:
    expression = find_expression(words) or find_expression(sentence)
    return None if expression is None else ToolCall("calculate", {"expression": expression})


_RULES: tuple[Callable[[str, str], Intent | None], ...] = (
    _timer,
    _time_left,
    _memory,
    _remark,
    _statement,
    _story,
    _time,
    _date,
    _conversion,
    _calculation,
)


def _key(words: str) -> str:
    """Return the name under which a fact is kept: one spelling for two."""
    said = [_SPELLINGS.get(word, word) for word in words.lower().split()]
    key = " ".join(word for word in said if word not in {"own", "the"})
    return _KEY_NAMES.get(key, key)


def _own_words(value: str) -> str:
    mine = {"my": "your", "me": "you", "i": "you", "mine": "yours", "am": "are", "i'm": "you are"}
    return " ".join(mine.get(word.lower(), word) for word in value.split())
