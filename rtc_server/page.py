"""The call page: the files of ``web/``, with the headers that keep them fresh and confined."""

from __future__ import annotations

import gzip
import hashlib
import math
import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from aiohttp import web

from .errors import ConfigurationError

__all__ = ["Page", "find_web_dir"]

LOOK_EVERY_S = 1
"""How old what is known of the folder may be: who asks need not have a token."""

CONTENT_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".ico": "image/vnd.microsoft.icon",
    ".jpg": "image/jpeg",
    ".js": "text/javascript; charset=utf-8",
    ".mp3": "audio/mpeg",
    ".png": "image/png",
    ".svg": "image/svg+xml",
    ".webmanifest": "application/manifest+json",
    ".webp": "image/webp",
    ".woff2": "font/woff2",
}
"""What is served, by suffix; a file of another kind is not part of the page."""

COMPRESSED = {".css", ".html", ".js", ".svg", ".webmanifest"}
"""What gets smaller; the others are compressed as they are."""

HEADERS = {
    # In no one's way who is allowed: the modules of a page of another origin are loaded with CORS.
    "Cross-Origin-Resource-Policy": "same-origin",
    # Ask every time, by ETag: an upgraded server must not be met by yesterday's page.
    "Cache-Control": "no-cache",
    "Vary": "Accept-Encoding, Origin",
}
"""Of every file."""

DOCUMENTS = {".html", ".svg"}
"""What a browser can open as a page; a worker would be one, too, and the page has none."""

DOCUMENT_HEADERS = {
    # The page may load its own files and play what it received, and nothing else.  No string
    # ever becomes markup or script in it: with no Trusted Types policy the browser sees to that.
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; "
        "media-src 'self' blob:; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
        "require-trusted-types-for 'script'; trusted-types 'none'"
    ),
    "Permissions-Policy": (
        "microphone=(self), camera=(self), display-capture=(self), speaker-selection=(self), "
        "autoplay=(self), geolocation=()"
    ),
    "Cross-Origin-Opener-Policy": "same-origin",
}
"""Of what a browser opens as a page.  A script, style or picture has no use for them: they would
be a third of the first visit."""


def find_web_dir() -> Path:
    """The folder of the page: inside the package when installed, beside it in a checkout.

    Raises:
        ConfigurationError: there is none.
    """
    package = Path(__file__).resolve().parent
    for folder in (package / "web", package.parent / "web"):
        if (folder / "index.html").is_file():
            return folder
    raise ConfigurationError("The files of the call page are missing: install rtc-server again.")


@dataclass(frozen=True)
class _File:
    changed_ns: int
    size: int
    body: bytes
    etag: str

    @cached_property
    def compressed(self) -> bytes:
        """``body`` for whom takes gzip: compressed once, when it is first asked for."""
        return gzip.compress(self.body, mtime=0)


class Page:
    """Serves the files of one folder and of those in it.

    A file is kept in memory until it changes on disk, so that whoever works on the page sees
    his change on reload.  What is kept is bounded by what the folder holds.

    Args:
        folder: what is served.
        clock: monotonic seconds.
    """

    def __init__(self, folder: Path, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._folder = folder.resolve()
        self._clock = clock
        self._look_again_at = -math.inf
        self._files: dict[Path, _File] = {}
        self._listing: tuple[tuple[str, int, int], ...] | None = None
        self._fingerprint = ""

    async def handle(self, request: web.Request) -> web.Response:
        """Answer GET and HEAD of one file; ``/`` is ``index.html``."""
        path = self._find(request.match_info.get("path") or "index.html")
        file = self._read(path) if path else None
        if path is None or file is None:
            raise web.HTTPNotFound
        is_compressed = path.suffix in COMPRESSED and _takes_gzip(request)
        # Two encodings are two representations, and never share a strong ETag (RFC 9110, 8.8.3).
        etag = f"{file.etag}-gzip" if is_compressed else file.etag
        response = web.Response(headers={**HEADERS, "ETag": f'"{etag}"'})
        if path.suffix in DOCUMENTS:
            response.headers.update(DOCUMENT_HEADERS)
        if any(one.value in (etag, "*") for one in request.if_none_match or ()):
            response.set_status(304)
            return response
        response.headers["Content-Type"] = CONTENT_TYPES[path.suffix]
        if is_compressed:
            response.headers["Content-Encoding"] = "gzip"
        response.body = file.compressed if is_compressed else file.body
        return response

    def fingerprint(self) -> str:
        """Names and contents of all files in hex: another page, another fingerprint.

        The folder is looked at once a second at most, and nothing is read again unless something
        has changed in it.
        """
        now = self._clock()
        if now < self._look_again_at:
            return self._fingerprint
        self._look_again_at = now + LOOK_EVERY_S
        listing = tuple(sorted(self._list()))
        if listing != self._listing:
            digest = hashlib.sha256()
            for name, *_ in listing:
                path = self._find(name)
                file = self._read(path) if path else None
                if file is not None:
                    digest.update(f"{name}\0{file.etag}\0".encode("utf-8", "surrogateescape"))
            self._fingerprint = digest.hexdigest()[:32]
            self._listing = listing
        return self._fingerprint

    def _list(self) -> Iterator[tuple[str, int, int]]:
        """What may be a file of the page: its name, when it changed, its size."""
        folders = [""]
        while folders:
            folder = folders.pop()
            with suppress(FileNotFoundError), os.scandir(self._folder / folder) as entries:
                for entry in filter(lambda one: _is_part_of_page(one.name), entries):
                    if entry.is_dir(follow_symlinks=False):
                        folders.append(f"{folder}{entry.name}/")
                    elif os.path.splitext(entry.name)[1] in CONTENT_TYPES:
                        with suppress(FileNotFoundError):
                            status = entry.stat()
                            yield f"{folder}{entry.name}", status.st_mtime_ns, status.st_size

    def _find(self, name: str) -> Path | None:
        """The file of that name, if it is one of the page's and inside its folder."""
        parts = name.split("/")
        if "\\" in name or "\0" in name or not all(map(_is_part_of_page, parts)):
            return None
        try:
            path = self._folder.joinpath(*parts).resolve()
            inside = path.is_relative_to(self._folder) and path.suffix in CONTENT_TYPES
            return path if inside and path.is_file() else None
        except (OSError, ValueError):  # a name too long, or one that no file can have
            return None

    def _read(self, path: Path) -> _File | None:
        """The file as it is now; None: it has just gone."""
        try:
            status = path.stat()
            file = self._files.get(path)
            if file is None or (file.changed_ns, file.size) != (status.st_mtime_ns, status.st_size):
                body = path.read_bytes()
                etag = hashlib.sha256(body).hexdigest()[:32]
                file = _File(status.st_mtime_ns, status.st_size, body, etag)
                self._files[path] = file
            return file
        except FileNotFoundError:
            return None


def _is_part_of_page(name: str) -> bool:
    """Whether a file or folder of that name can be of the page."""
    return name not in ("", "node_modules") and not name.startswith(".")


def _takes_gzip(request: web.Request) -> bool:
    """Whether ``Accept-Encoding`` names gzip, and not with a weight of 0 (RFC 9110, 12.5.3)."""
    for one in ",".join(request.headers.getall("Accept-Encoding", [])).lower().split(","):
        coding, _, weight = one.partition(";")
        if coding.strip() in ("gzip", "x-gzip"):
            return not re.fullmatch(r"\s*q\s*=\s*0(\.0*)?\s*", weight)
    return False
