"""What the agent answers without a tool: small talk, and what it is told about itself."""

from __future__ import annotations

import re
from enum import Enum, auto

__all__ = ["Remark", "find_remark", "match_greeting"]


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
    ACKNOWLEDGED = auto()
    DECLINED = auto()
    WELL = auto()
    UNWELL = auto()
    FLATTERED = auto()
    SCOLDED = auto()
    NO_TASTE = auto()
    ENGLISH_ONLY = auto()
    FIXED_VOICE = auto()
    CANNOT = auto()


_GREETING = r"(?:hello|hi|hey|hiya|howdy|greetings|good (?:morning|afternoon|evening|day))"
_GREETINGS = re.compile(rf"{_GREETING}(?: there| again| everyone| agent| to you)*")
_VERY = r"(?:so |very |really |a bit |a little |quite |doing |feeling |just )*"

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
        r"|i have to go(?: now)?|have a (?:nice|good|great) .+"
        r"|you too|same to you|talk to you later",
    ),
    (
        Remark.ACKNOWLEDGED,
        r"(?:yes|yeah|yep|yup|ok|okay|sure|right|all right|alright|maybe|fine|i see|got it"
        r"|i do not know|you are welcome|sorry|i am sorry"
        r"|excuse me|never|really|wow|of course)(?: (?:okay|ok|sure|then))*",
    ),
    (Remark.DECLINED, r"(?:no|nope|nah|not really|nothing|no thank you|no thanks)(?: no)*"),
    (Remark.WELL, rf"i am {_VERY}(?:fine|well|good|great|happy|ok|okay|excited)(?: .*)?"),
    (
        Remark.UNWELL,
        rf"i (?:am|feel) {_VERY}(?:sad|tired|bored|lonely|sick|ill|angry|hungry|thirsty|cold|hot"
        r"|stressed|afraid|scared|unhappy|sleepy|not (?:well|good|happy|feeling well))(?: .*)?",
    ),
    (
        Remark.FLATTERED,
        r"i (?:really )?(?:like|love) (?:you|it|that)(?: .*)?|you are (?:so |very |really )?"
        r"(?:great|good|nice|smart|clever|funny|cool|amazing|awesome|the best|right|sweet)(?: .*)?"
        r"|(?:that|it) (?:is|was) (?:a )?(?:so |very |really )?(?:nice|good|great|funny|lovely"
        r"|interesting|beautiful|right|correct|cool|true|fun)(?: .*)?|nice to meet you(?: .*)?",
    ),
    (
        Remark.SCOLDED,
        r"you are (?:so |very |really )?(?:stupid|dumb|wrong|bad|useless|slow|annoying|an idiot)"
        r"(?: .*)?|(?:that|it) (?:is|was) (?:not |so |very |a )*(?:wrong|bad|stupid|right|correct"
        r"|boring|nonsense|what i (?:said|meant|asked))(?: .*)?|wrong|i hate you",
    ),
    (
        Remark.NO_TASTE,
        r"(?:what|who|which) (?:is|are) your favou?rite .+|how old are you"
        r"|do you (?:like|love|have(?! the time)"
        r"|eat|drink|sleep|dream|want|think|feel)\b.*|who (?:made|built|created|wrote) you"
        r"|where (?:are you(?: from)?|do you (?:live|come from))|when (?:is your birthday|were you"
        r" born)|are you (?:married|happy|tired|alive|smart|a (?:man|woman|boy|girl))",
    ),
    (
        Remark.ENGLISH_ONLY,
        r"(?:do|can) you (?:speak|understand|talk) (?!slow|loud|quiet|fast).+|bonjour|hola"
        r"|guten tag|ciao|salut|(?:speak|talk) in .+|translate .+|how do you say .+ in .+",
    ),
    (
        Remark.FIXED_VOICE,
        r"(?:can you )?(?:speak|talk)(?: a (?:bit|little))?(?: more)? (?:slow|loud|quiet|fast|up)"
        r"\w*(?: .*)?|(?:slow down|slower|louder|speed up|faster)",
    ),
    (
        Remark.CANNOT,
        r"(?:play|sing|open|turn on|turn off|switch|call|send|search|google|look up|order|buy"
        r"|flip|toss|roll|pick|choose|spell|draw|write|read|book|find|show|email|text|count)\b.*"
        r"|.*\b(?:weather|forecast|rain|snow|sunny|news|headlines|traffic)\b.*",
    ),
    (Remark.GREETING, _GREETINGS.pattern),
)


def find_remark(words: str) -> Remark | None:
    """Return the remark that all of ``words`` are; None if they are none."""
    return next((remark for remark, said in _REMARKS if re.fullmatch(said, words)), None)


def match_greeting(words: str) -> re.Match[str] | None:
    """Match the greeting that ``words`` begin with."""
    return _GREETINGS.match(words)
