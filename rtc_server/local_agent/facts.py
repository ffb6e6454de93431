"""What callers say about themselves, and how they ask for it later.

A fact has a key ("name", "favourite colour") and a value; what has no name of its own is
kept as a whole sentence under the key ``note`` and found again by its words.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

__all__ = [
    "find_fact",
    "find_forgetting",
    "find_question",
    "find_recall",
    "own_words",
    "select_facts",
]

_RECALL = re.compile(
    r"(?:what (?:is|was|are)|who (?:is|are)|when is|do you (?:know|remember)(?: what)?|tell me"
    r"|can you remember|say) my (?P<key>[a-z ']+?)(?: is| are| called)?$"
)
_RECALL_KEYS: tuple[tuple[str, str], ...] = (
    (r"who am i|what am i called|do you (?:know|remember) who i am", "name"),
    (r"where do i live|where is my home|do you (?:know|remember) where i live", "home"),
    (r"where (?:am|do) i (?:come )?from", "origin"),
    (r"how old am i|do you (?:know|remember) how old i am", "age"),
    (r"what (?:do i do(?: for a living)?|is my (?:job|work|profession))", "job"),
    (r"what do i (?:like|love|enjoy)(?: .*)?", "likes"),
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
    (r"i(?: am|'m) (?P<value>\d{1,3})", "age"),
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
    (
        r"(?P<value>(?:i|we)(?:'ve| have) (?:(?:got|been to) )?(?!to\b|no\b|been\b|a question"
        r"|an? idea|another\b|told\b|said\b|asked\b|never\b|heard\b|seen\b|done\b).+)",
        "note",
    ),
    (
        r"(?P<value>(?:i|we) (?:own|hate|dislike|prefer|play|speak|study|drive|collect|grew up"
        r"|moved|was born|was raised|work (?:at|for|in)|keep|drink|eat|do not (?:like|eat|drink)"
        r"|don't (?:like|eat|drink)|(?:always|never|usually|often) (?:eat|drink|go|get)) .+)",
        "note",
    ),
    (
        r"(?P<value>(?:i am|i'm) (?:allergic|married|divorced|single|engaged|vegetarian|vegan"
        r"|retired|born|left-handed|a|an)\b(?! (?:bit|little|lot|moment))(?: .+)?)",
        "note",
    ),
)
_PREFIX = re.compile(
    r"^(?:(?:well|so|ok|okay|and|but|yes|no|oh|um|uh|please|hello|hi|hey|by the way|also"
    r"|actually|sorry|i mean|i meant|i said"
    r"|(?:please )?(?:remember|note)(?: that)?(?= (?:my|i)\b)|did you know(?: that)?)[,.!]?\s+)+",
    re.IGNORECASE,
)
_I_AM_NAME = re.compile(r"(?:I am|I'm|Im|This is) (?P<value>[A-Z][a-z]+(?: [A-Z][a-z]+)?)")
_QUESTION = re.compile(
    r"(?:and )?(?:who|whom|whose|where|when|why|which|what|how|do i|did i|am i|was i|have i|is my"
    r"|are my|does my)\b(?P<about>.*)"
)
_SPELLINGS = {"favorite": "favourite", "color": "colour", "favourit": "favourite"}
_KEY_NAMES = {
    **dict.fromkeys(("home", "address", "city", "home town", "hometown", "town"), "home"),
    **dict.fromkeys(("job", "profession", "occupation", "work"), "job"),
    **dict.fromkeys(("first name", "name"), "name"),
}
_MINE = {"my": "your", "me": "you", "i": "you", "mine": "yours", "am": "are", "i'm": "you are"}
_MINE |= {"i've": "you have", "myself": "yourself"}
_EMPTY_WORDS = frozenset(
    {"a", "an", "the", "of", "to", "in", "on", "at", "for", "with", "and", "or", "is", "are", "was"}
    | {"were", "be", "been", "am", "do", "does", "did", "have", "has", "had", "i", "my", "me", "we"}
    | {"mine", "our", "it", "that", "this", "there", "how", "who", "whom", "whose", "where", "when"}
    | {"why", "which", "what", "many", "much", "long", "often", "old", "tall", "big", "far", "will"}
    | {"about", "tell", "know", "remember", "can", "could", "would", "kind", "sort", "please"}
    | {"again", "now", "today", "so", "not"}
)


def find_fact(sentence: str) -> tuple[str, str] | None:
    """Return the key and value of what ``sentence`` states about the caller, or None."""
    plain = sentence.replace("\N{RIGHT SINGLE QUOTATION MARK}", "'").strip()
    plain = _PREFIX.sub("", plain).rstrip(" .!,")
    if plain.endswith("?"):
        return None
    name = _I_AM_NAME.fullmatch(plain)
    if name:
        return "name", name["value"]
    for pattern, key in _STATEMENTS:
        found = re.fullmatch(pattern, plain, re.IGNORECASE)
        if found:
            key = key or _key(found["key"])
            return key, found["value"] if key == "name" else own_words(found["value"])
    return None


def find_forgetting(words: str) -> str | None:
    """Return the key of what shall be forgotten, empty for everything; None if nothing."""
    if _FORGET_ALL.fullmatch(words):
        return ""
    forget = _FORGET.fullmatch(words)
    return _key(forget["key"]) if forget else None


def find_recall(words: str) -> str | None:
    """Return the key of the fact that is asked for, empty for all of them; None if none is."""
    for pattern, key in _RECALL_KEYS:
        if re.fullmatch(pattern, words):
            return key
    recall = _RECALL.fullmatch(words)
    return _key(recall["key"]) if recall else None


def find_question(words: str) -> str | None:
    """Return the words that a question turns on, to look for in the notes; None if none do.

    Questions to the agent about itself, and those with figures in them, are others' business.
    """
    found = _QUESTION.fullmatch(words)
    if found is None or re.search(r"\b(?:you|your|yours|yourself)\b|\d", words):
        return None
    return " ".join(word for word in found["about"].split() if word not in _EMPTY_WORDS) or None


def select_facts(facts: Mapping[str, str], about: str) -> dict[str, str]:
    """Return the facts that share most words with ``about``, none if they share none."""
    asked = {_stem(word) for word in about.lower().split()}
    shared = {
        key: len(asked & {_stem(word) for word in re.findall(r"[\w']+", f"{key} {value}".lower())})
        for key, value in facts.items()
    }
    most = max(shared.values(), default=0)
    return {key: facts[key] for key, count in shared.items() if count == most > 0}


def own_words(value: str) -> str:
    """Turn the caller's words into the agent's: "I have my keys" is "you have your keys"."""
    words = value.split()
    turned = [_MINE.get(word.lower(), word) for word in words]
    for index, word in enumerate(words[1:], start=1):
        if word.lower() == "was" and words[index - 1].lower() == "i":
            turned[index] = "were"
    return " ".join(turned)


def _key(words: str) -> str:
    """Return the name under which a fact is kept: one spelling for two."""
    said = [_SPELLINGS.get(word, word) for word in words.lower().split()]
    key = " ".join(word for word in said if word not in {"own", "the"})
    return _KEY_NAMES.get(key, key)


def _stem(word: str) -> str:
    return re.sub(r"(?:'s|ies|ing|ed|s|y)$", "", word) if len(word) > 3 else word
