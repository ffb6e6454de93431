"""Pictures of the agent's answers, saved beside the report that names them."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator
from pathlib import Path
from typing import Any

__all__ = ["save_pictures"]

_SUFFIXES = {
    "image/jpeg": ".jpg",
    "image/png": ".png",
    "image/webp": ".webp",
    "image/gif": ".gif",
    "image/avif": ".avif",
}


def save_pictures(report: dict[str, Any], path: Path) -> None:
    """Write each picture that ``report`` holds, and put the file's name in its place.

    Args:
        path: of the report; ``report.json`` has ``report-picture-1.png`` beside it.

    Raises:
        OSError: a file cannot be written.
    """
    for number, picture in enumerate(_pictures_in(report), start=1):
        try:
            data = base64.b64decode(str(picture.pop("data", "")), validate=True)
        except binascii.Error:
            picture["file"] = None
            continue
        suffix = _SUFFIXES.get(str(picture.get("mime_type")), ".bin")
        file = path.with_name(f"{path.stem}-picture-{number}{suffix}")
        file.write_bytes(data)
        picture["file"] = file.name


def _pictures_in(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, list):
        for one in value:
            yield from _pictures_in(one)
    elif isinstance(value, dict):
        if value.get("type") == "image":
            yield value
        else:
            for one in value.values():
                yield from _pictures_in(one)
