"""The files of the page over HTTP: kept fresh, compressed, confined, and whom they are for."""

from __future__ import annotations

import gzip
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from rtc_server.page import LOOK_EVERY_S, Page
from tests.running_site import Site, assert_problem, serving
from tests.waiting import until

ALLOWED = "https://app.example"
SCRIPT = "export const words = 'so that there is something to compress';\n" * 40


def write(path: Path, text: str, *, changed_s: int = 0) -> None:
    """Write a file that says when: two changes can come within one tick of the file system."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    os.utime(path, (changed_s, changed_s))


class Clock:
    """Stands still until a test moves it."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def web_dir(tmp_path: Path) -> Path:
    folder = tmp_path / "web"
    write(folder / "index.html", "<!doctype html><title>Call</title>")
    write(folder / "example.html", "<!doctype html><title>Example</title>")
    write(folder / "client" / "call.js", SCRIPT)
    return folder


@pytest.fixture
async def site(web_dir: Path) -> AsyncIterator[Site]:
    async with serving(web_dir, allow_origins=(ALLOWED,)) as running:
        yield running


class TestFiles:
    async def test_the_page_is_served_confined_and_asked_for_anew(
        self, site: Site, web_dir: Path
    ) -> None:
        response = await site.client.get("/")
        assert response.status == 200
        assert response.headers["Content-Type"] == "text/html; charset=utf-8"
        assert response.headers["Cache-Control"] == "no-cache"
        assert response.headers["X-Content-Type-Options"] == "nosniff"
        assert response.headers["Referrer-Policy"] == "same-origin"
        headers = {"If-None-Match": response.headers["ETag"]}
        same = await site.client.get("/index.html", headers=headers)
        assert (same.status, await same.read()) == (304, b"")
        assert same.headers["ETag"] == response.headers["ETag"]
        write(web_dir / "index.html", "<!doctype html><title>New!</title>", changed_s=1)
        new = await site.client.get("/", headers=headers)
        assert new.status == 200
        assert "New!" in await new.text()

    async def test_nothing_becomes_script_or_markup_but_the_files_of_the_page(
        self, site: Site
    ) -> None:
        response = await site.client.get("/")
        directives = {
            name: sources
            for name, *sources in map(
                str.split, response.headers["Content-Security-Policy"].split(";")
            )
        }
        assert directives["default-src"] == ["'none'"]
        assert directives["script-src"] == directives["style-src"] == ["'self'"]
        assert directives["require-trusted-types-for"] == ["'script'"]
        assert directives["trusted-types"] == directives["frame-ancestors"] == ["'none'"]

    async def test_microphone_loudspeaker_and_camera_are_for_the_page_alone(
        self, site: Site
    ) -> None:
        response = await site.client.get("/")
        features = response.headers["Permissions-Policy"].split(", ")
        for feature in ("microphone", "camera", "display-capture", "speaker-selection", "autoplay"):
            assert f"{feature}=(self)" in features

    @pytest.mark.parametrize(
        ("name", "is_document"),
        [("index.html", True), ("icon.svg", True), ("client/call.js", False), ("a.css", False)],
    )
    async def test_what_a_browser_opens_as_a_page_is_confined_and_the_rest_carries_no_ballast(
        self, site: Site, web_dir: Path, name: str, is_document: bool
    ) -> None:
        write(web_dir / name, "x")
        response = await site.client.get(f"/{name}")
        for header in ("Content-Security-Policy", "Cross-Origin-Opener-Policy"):
            assert (header in response.headers) == is_document
        assert response.headers["X-Content-Type-Options"] == "nosniff"
        assert response.headers["Cross-Origin-Resource-Policy"] == "same-origin"

    @pytest.mark.parametrize(
        ("name", "content_type"),
        [
            ("app.js", "text/javascript; charset=utf-8"),
            ("page/style.css", "text/css; charset=utf-8"),
            ("icon.svg", "image/svg+xml"),
            ("vendor/marked/marked.js", "text/javascript; charset=utf-8"),
        ],
    )
    async def test_files_of_all_folders_have_their_types(
        self, site: Site, web_dir: Path, name: str, content_type: str
    ) -> None:
        write(web_dir / name, "x")
        headers = {"Accept-Encoding": "identity"}
        response = await site.client.get(f"/{name}", headers=headers)
        assert (response.status, response.headers["Content-Type"]) == (200, content_type)
        head = await site.client.head(f"/{name}", headers=headers)
        assert (head.status, head.headers["Content-Length"]) == (200, "1")
        assert await head.read() == b""

    async def test_nothing_outside_of_the_page_is_served(self, site: Site, web_dir: Path) -> None:
        (web_dir.parent / "secret.js").write_text("SENTINEL")
        (web_dir / ".git").mkdir()
        (web_dir / "node_modules").mkdir()
        for name in (".hidden.js", ".git/x.js", "node_modules/x.js", "tsconfig.json"):
            (web_dir / name).write_text("SENTINEL")
        (web_dir / "link.js").symlink_to(web_dir.parent / "secret.js")
        for path in (
            "/../secret.js",
            "/%2e%2e/secret.js",
            "/..%2fsecret.js",
            "/client/..%2f..%2fsecret.js",
            "/..%5csecret.js",
            f"/{web_dir.parent}/secret.js",
            f"/%2f{web_dir.parent}/secret.js",
            "/link.js",
            "/.hidden.js",
            "/.git/x.js",
            "/node_modules/x.js",
            "/tsconfig.json",
            "/index.html%00.js",
            "/index.html/",
            "//index.html",
            "/client",
            "/" + "x" * 4000 + ".js",
        ):
            reply = await site.get("Host: localhost", path=path)
            assert reply.status == 404, path
            assert_problem(404, reply.headers, reply.body.decode())


class TestCompression:
    async def test_who_takes_gzip_gets_it(self, site: Site) -> None:
        reply = await site.get(
            "Host: localhost", "Accept-Encoding: br, gzip;q=0.8", path="/client/call.js"
        )
        assert reply.headers["content-encoding"] == "gzip"
        assert reply.headers["content-type"] == "text/javascript; charset=utf-8"
        assert gzip.decompress(reply.body).decode() == SCRIPT
        assert len(reply.body) < len(SCRIPT) / 4

    @pytest.mark.parametrize(
        "headers",
        [
            [],
            ["Accept-Encoding: identity"],
            ["Accept-Encoding: br, deflate"],
            ["Accept-Encoding: gzip;q=0"],
            ["Accept-Encoding: br", "Accept-Encoding: GZIP ; q=0.000"],
        ],
    )
    async def test_who_does_not_gets_the_file_as_it_is(
        self, site: Site, headers: list[str]
    ) -> None:
        reply = await site.get("Host: localhost", *headers, path="/client/call.js")
        assert "content-encoding" not in reply.headers
        assert reply.body.decode() == SCRIPT

    async def test_a_picture_is_not_compressed_again(self, site: Site, web_dir: Path) -> None:
        (web_dir / "face.png").write_bytes(b"PNG" * 100)
        reply = await site.get("Host: localhost", "Accept-Encoding: gzip", path="/face.png")
        assert "content-encoding" not in reply.headers
        assert reply.body == b"PNG" * 100

    async def test_caches_keep_both_apart(self, site: Site) -> None:
        """Each has its ETag, and says what it depends on, also where nothing has changed."""
        ask = ("Host: localhost", "Accept-Encoding: gzip")
        plain = await site.get("Host: localhost", path="/client/call.js")
        packed = await site.get(*ask, path="/client/call.js")
        assert plain.headers["etag"] != packed.headers["etag"]
        for known, status in ((packed, 304), (plain, 200)):
            reply = await site.get(
                *ask, f"If-None-Match: {known.headers['etag']}", path="/client/call.js"
            )
            assert reply.status == status
            assert "Accept-Encoding" in reply.headers["vary"]
            assert ("content-encoding" in reply.headers) == (status == 200)

    async def test_what_has_changed_is_compressed_anew(self, site: Site, web_dir: Path) -> None:
        for changed_s, text in enumerate((SCRIPT, SCRIPT.upper())):
            write(web_dir / "client" / "call.js", text, changed_s=changed_s)
            reply = await site.get(
                "Host: localhost", "Accept-Encoding: gzip", path="/client/call.js"
            )
            assert gzip.decompress(reply.body).decode() == text

    async def test_head_says_what_get_would_send(self, site: Site) -> None:
        ask = ("Host: localhost", "Accept-Encoding: gzip")
        whole = await site.get(*ask, path="/client/call.js")
        response = await site.client.head("/client/call.js", headers={"Accept-Encoding": "gzip"})
        for name in ("Content-Length", "Content-Encoding", "ETag", "Vary"):
            assert response.headers[name] == whole.headers[name.lower()]


class TestOtherOrigins:
    async def test_a_page_of_an_allowed_origin_may_import_the_client_library(
        self, site: Site
    ) -> None:
        response = await site.client.get("/client/call.js", headers={"Origin": ALLOWED})
        assert response.status == 200
        assert response.headers["Access-Control-Allow-Origin"] == ALLOWED
        again = await site.client.get(
            "/client/call.js",
            headers={"Origin": ALLOWED, "If-None-Match": response.headers["ETag"]},
        )
        assert again.status == 304
        assert again.headers["Access-Control-Allow-Origin"] == ALLOWED

    async def test_a_cache_does_not_give_one_origin_the_answer_to_another(self, site: Site) -> None:
        for headers in ({}, {"Origin": ALLOWED}):
            response = await site.client.get("/client/call.js", headers=headers)
            assert "Origin" in response.headers["Vary"]

    async def test_an_origin_that_is_not_allowed_gets_nothing(self, site: Site) -> None:
        reply = await site.get(
            "Host: localhost", "Origin: https://evil.example", path="/client/call.js"
        )
        assert reply.status == 403
        assert "access-control-allow-origin" not in reply.headers
        assert_problem(403, reply.headers, reply.body.decode())

    @pytest.mark.parametrize("path", ["/", "/index.html", "/example.html", "/healthz", "/metrics"])
    async def test_documents_health_and_metrics_are_not_for_other_origins(
        self, site: Site, path: str
    ) -> None:
        response = await site.client.get(path, headers={"Origin": ALLOWED})
        assert response.status == 200
        assert "Access-Control-Allow-Origin" not in response.headers


class TestFingerprint:
    async def test_the_configuration_tells_of_a_new_page(self, site: Site, web_dir: Path) -> None:
        async def fingerprint() -> str:
            config = await (await site.client.get("/api/config")).json()
            return str(config["page"])

        before = await fingerprint()
        assert int(before, 16)
        assert await fingerprint() == before
        write(web_dir / "client" / "call.js", SCRIPT.upper(), changed_s=1)

        async def is_another() -> bool:
            return await fingerprint() != before

        await until(is_another)

    def test_equal_files_have_one_fingerprint_however_they_came(self, tmp_path: Path) -> None:
        """Wherever they lie, whenever they were written, in whatever order."""
        names = ["index.html", "client/call.js", "client/z.js", "vendor/marked/marked.js"]
        folders = tmp_path / "one", tmp_path / "other"
        for folder, order in zip(folders, (names, names[::-1]), strict=True):
            for number, name in enumerate(order):
                write(folder / name, f"this is {name}", changed_s=number)
        one, other = (Page(folder).fingerprint() for folder in folders)
        assert one == other

    @pytest.mark.parametrize("change", ["new", "gone", "renamed", "swapped", "longer"])
    def test_every_change_shows(self, tmp_path: Path, clock: Clock, change: str) -> None:
        a, b = tmp_path / "a.js", tmp_path / "client" / "b.js"
        write(a, "// one")
        write(b, "// two")
        page = Page(tmp_path, clock=clock)
        before = page.fingerprint()
        match change:
            case "new":
                (tmp_path / "client" / "c.js").write_text("")
            case "gone":
                b.unlink()
            case "renamed":
                b.rename(tmp_path / "b.js")
            case "swapped":
                write(a, "// two", changed_s=1)
                write(b, "// one", changed_s=1)
            case "longer":
                a.write_text("// one and a half")
        clock.now += LOOK_EVERY_S
        after = page.fingerprint()
        assert after != before
        assert Page(tmp_path).fingerprint() == after

    def test_what_is_not_served_does_not_count(self, tmp_path: Path, clock: Clock) -> None:
        folder = tmp_path / "web"
        (folder / "node_modules").mkdir(parents=True)
        (folder / "index.html").write_text("x")
        (tmp_path / "outside.js").write_text("x")
        page = Page(folder, clock=clock)
        before = page.fingerprint()
        for name in (".swap.js", "node_modules/x.js", "tsconfig.json", "LICENSE"):
            (folder / name).write_text("x")
        (folder / "outside.js").symlink_to(tmp_path / "outside.js")
        (folder / "nowhere.js").symlink_to(tmp_path / "nowhere.js")
        clock.now += LOOK_EVERY_S
        assert page.fingerprint() == before

    def test_folder_is_looked_at_once_a_second_however_often_it_is_asked(
        self, tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Anybody may ask; what has changed meanwhile shows a second later."""
        write(tmp_path / "a.js", "// one")
        page = Page(tmp_path, clock=clock)
        before = page.fingerprint()
        looks: list[object] = []
        scandir = os.scandir

        def look(folder: Path) -> object:
            looks.append(folder)
            return scandir(folder)

        monkeypatch.setattr(os, "scandir", look)
        write(tmp_path / "a.js", "// two", changed_s=1)
        for _ in range(100):
            assert page.fingerprint() == before
        assert looks == []
        clock.now += LOOK_EVERY_S
        assert page.fingerprint() != before
        assert len(looks) == 1
