"""The conversation as it is printed."""

from __future__ import annotations

from typing import Any

from rtc_harness.narrator import Narrator


def narrate(*messages: dict[str, Any]) -> list[str]:
    """The lines, without their times."""
    lines: list[str] = []
    narrator = Narrator(lines.append, started_at=0.0)
    for index, message in enumerate(messages):
        narrator.on_message(message, float(index))
    return [line.split(maxsplit=1)[1] for line in lines]


def agent(text: str, *, final: bool = False) -> dict[str, Any]:
    return {"type": "transcript", "role": "agent", "text": text, "final": final, "turn": 1}


END = {"type": "turn", "turn": 1, "turn_complete": True, "interrupted": False}


def test_narrator_prints_each_sentence_once_as_it_is_finished() -> None:
    """A transcript that grows is printed sentence by sentence, the rest at the turn's end."""
    assert narrate(
        agent("Once"), agent("Once upon. A ti"), agent("Once upon. A time"), END, END
    ) == ["agent  Once upon.", "agent  A time"]


def test_narrator_prints_text_and_not_its_transcript_again() -> None:
    """Pieces of text are joined; a number with a point in it is not cut."""
    pieces = [{"type": "text", "data": piece, "turn": 1} for piece in ("Pi is 3.1", "4. Yes", ".")]
    assert narrate(*pieces, agent("Pi is 3.14. Yes."), END) == [
        "agent  Pi is 3.14.",
        "agent  Yes.",
    ]


def test_narrator_prints_what_a_person_wants_to_know() -> None:
    """Who is on the line, what was understood, tools, errors, interruptions, the end."""
    lines = narrate(
        {"type": "ready", "agent": "local", "modality": "audio", "resumed": True},
        {"type": "transcript", "role": "user", "text": "what", "final": False, "turn": 1},
        {"type": "transcript", "role": "user", "text": "What time?", "final": True, "turn": 1},
        {"type": "tool", "phase": "call", "id": "1", "name": "clock", "args": {"zone": "x" * 500}},
        {"type": "tool", "phase": "result", "id": "1", "name": "clock"},
        {"type": "confirm", "id": "2", "name": "pay", "args": {"euros": 5}, "hint": "To Ann."},
        {"type": "client_tool", "id": "3", "name": "beep", "args": {}},
        {"type": "error", "code": "agent", "message": "It fell over.", "retryable": True},
        END | {"interrupted": True, "heard_ms": 1234},
        {"type": "goaway", "reason": "drain", "seconds": 5},
        {"type": "agent", "name": "billing"},
        {"type": "state", "state": "speaking"},
        {"type": "nothing known"},
    )
    assert lines[0] == "call   with local (audio, goes on)"
    assert lines[1] == "user   “What time?”"
    assert lines[2].startswith('tool   clock call {"zone": "xxx')
    assert len(lines[2]) < 250
    assert lines[3:] == [
        "tool   clock result",
        'asks   may pay {"euros": 5} run? To Ann.',
        "runs   beep {}",
        "error  agent: It fell over.",
        "agent  (interrupted after 1.23 s)",
        "call   will end: drain",
        "call   billing took over",
    ]


def test_narrator_prints_what_an_answer_holds_beside_words() -> None:
    """A line each, shortened; a tool that failed is told as that."""
    lines = narrate(
        {"type": "tool", "phase": "progress", "id": "1", "name": "watch", "result": {"at": 50}},
        {"type": "tool", "phase": "result", "id": "1", "name": "watch", "failed": True},
        {"type": "tool", "phase": "cancelled", "id": "2", "name": "look"},
        {
            "type": "grounding",
            "queries": ["weather"],
            "sources": [{"uri": "https://a.example/", "title": "A"}, {"title": "B"}],
            "turn": 1,
        },
        {"type": "code", "phase": "call", "language": "python", "code": "a = 1\nb", "turn": 1},
        {"type": "code", "phase": "result", "outcome": "ok", "output": "x" * 500, "turn": 1},
        {"type": "image", "mime_type": "image/png", "data": "", "turn": 1},
        {"type": "file", "uri": "https://a.example/a.pdf", "turn": 1},
        {"type": "artifact", "name": "note.txt", "version": 2},
        {"type": "thought", "text": "Hm.", "turn": 1},
    )
    assert lines[7].startswith("code   ok: xxx")
    assert len(lines.pop(7)) < 250
    assert lines == [
        'tool   watch progress {"at": 50}',
        "tool   watch failed",
        "tool   look cancelled",
        "source searched for weather",
        "source A https://a.example/",
        "source B",
        "code   python a = 1 ⏎ b",
        "agent  (a picture, image/png)",
        "agent  (a file, https://a.example/a.pdf)",
        "agent  (saved note.txt, 2)",
        "thinks Hm.",
    ]
