"""The call page: the files of ``web/``, with the headers that keep them fresh and confined."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from aiohttp import web

from .errors import ConfigurationError

__all__ = ["Page", "find_web_dir"]

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

HEADERS = {
    # The page may load its own files and play what it received, and nothing else.
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; "
        "media-src 'self' blob:; font-src 'self'; connect-src 'self'; worker-src 'self'; "
        "manifest-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Permissions-Policy": "microphone=(self), camera=(self), geolocation=()",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    # Ask every time, by ETag: an upgraded server must not be met by yesterday's page.
    "Cache-Control": "no-cache",
}


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


@dataclass(frozen=True, slots=True)
class _File:
    changed_ns: int
    size: int
    body: bytes
    etag: str


class Page:
    """Serves the files of one folder.

    A file is kept in memory until it changes on disk, so that whoever works on the page sees
    his change on reload.  What is kept is bounded by what the folder holds.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder.resolve()
        self._files: dict[Path, _File] = {}

    async def handle(self, request: web.Request) -> web.Response:
        """Answer GET and HEAD of one file; ``/`` is ``index.html``."""
        path = self._find(request.match_info.get("path") or "index.html")
        if path is None:
            raise web.HTTPNotFound
        file = self._read(path)
        response = web.Response(headers={**HEADERS, "ETag": f'"{file.etag}"'})
        if any(one.value in (file.etag, "*") for one in request.if_none_match or ()):
            response.set_status(304)
        else:
            response.headers["Content-Type"] = CONTENT_TYPES[path.suffix]
            response.body = file.body
        return response

    def _find(self, name: str) -> Path | None:
        """The file of that name, if it is one of the page's and inside its folder."""
        parts = name.split("/")
        if any(part in ("", "node_modules") or part.startswith(".") for part in parts):
            return None
        if "\\" in name or "\0" in name:
            return None
        try:
            path = self._folder.joinpath(*parts).resolve()
            inside = path.is_relative_to(self._folder) and path.suffix in CONTENT_TYPES
            return path if inside and path.is_file() else None
        except (OSError, ValueError):  # a name too long, or one that no file can have
            return None

    def _read(self, path: Path) -> _File:
        status = path.stat()
        file = self._files.get(path)
        if file is None or (file.changed_ns, file.size) != (status.st_mtime_ns, status.st_size):
            body = path.read_bytes()
            etag = hashlib.sha256(body).hexdigest()[:32]
            file = _File(status.st_mtime_ns, status.st_size, body, etag)
            self._files[path] = file
        return file
