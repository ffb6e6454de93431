"""What an answer holds beside words, in the report of a call."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

from rtc_harness.conversation import Conversation
from rtc_harness.report import other_answers, write_report

PNG = b"\x89PNG\r\n"
END = {"type": "turn", "turn": 1, "turn_complete": True, "interrupted": False}


def report_of(*messages: dict[str, Any]) -> dict[str, Any]:
    conversation = Conversation()
    conversation.on_message({"type": "ready", "modality": "text"}, 0.0)
    for at, message in enumerate(messages, start=1):
        conversation.on_message(message, float(at))
    assert conversation.violations == []
    return {"other_answers": other_answers(conversation.ended)}


def picture(data: str, mime_type: str = "image/png") -> dict[str, Any]:
    return {"type": "image", "mime_type": mime_type, "data": data, "turn": 1}


def test_report_has_what_the_answer_holds(tmp_path: Path) -> None:
    """The messages themselves, but for a picture, which lies beside the report."""
    sources = {"type": "grounding", "queries": [], "sources": [{"title": "A"}], "turn": 1}
    saved = {"type": "artifact", "name": "note.txt", "version": 0}
    report = report_of(sources, picture(base64.b64encode(PNG).decode()), saved, END)
    write_report(tmp_path / "report.json", report)
    (answer,) = json.loads((tmp_path / "report.json").read_text())["other_answers"]
    file = "report-picture-1.png"
    assert answer["parts"] == [
        sources,
        {"type": "image", "mime_type": "image/png", "turn": 1, "file": file},
        saved,
    ]
    assert (tmp_path / file).read_bytes() == PNG


def test_picture_that_is_not_base64_or_of_no_known_kind_harms_nothing(tmp_path: Path) -> None:
    """A server's MIME type makes no file name."""
    kind = "image/../../x"
    write_report(tmp_path / "r.json", report_of(picture("?"), picture("AAAA", kind), END))
    (answer,) = json.loads((tmp_path / "r.json").read_text())["other_answers"]
    assert [one["file"] for one in answer["parts"]] == [None, "r-picture-2.bin"]
    assert sorted(one.name for one in tmp_path.iterdir()) == ["r-picture-2.bin", "r.json"]
