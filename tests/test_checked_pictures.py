"""Pictures that come as messages: in order, off the loop, and no more than can be looked at."""

from __future__ import annotations

import asyncio
import threading

from rtc_server.checked_pictures import CheckedPictures
from rtc_server.messages import ClientMessage, ClientText, Error, Image, Interrupt, Ping
from tests.media.test_picture import FILES
from tests.waiting import until

PICTURE = Image("image/png", FILES["image/png"])


class Seen:
    """What came of the messages, in order."""

    def __init__(self) -> None:
        self.all: list[str] = []
        self.pictures = CheckedPictures(
            on_picture=lambda jpeg: self.all.append("picture"),
            on_message=self._on_message,
            on_refused=lambda error: self.all.append(error.code),
            longest_px=200,
        )

    def _on_message(self, message: ClientMessage) -> None:
        assert isinstance(message, ClientText)
        self.all.append(message.text)

    def take(self, *messages: ClientMessage) -> list[bool]:
        return [self.pictures.take(one) for one in messages]


async def test_what_comes_behind_a_picture_waits_for_it() -> None:
    """Texts and pictures keep their order; what is no picture holds up nothing."""
    seen = Seen()
    broken = Image("image/png", b"no picture")
    taken = seen.take(PICTURE, ClientText("one"), broken, ClientText("two"), PICTURE)
    assert taken == [True] * 5
    await until(lambda: len(seen.all) == 5)
    assert seen.all == ["picture", "one", "bad_image", "two", "picture"]
    seen.pictures.close()


async def test_without_a_picture_nothing_is_held_up() -> None:
    """Nor is what is about the moment, ever."""
    seen = Seen()
    assert seen.take(ClientText("one"), Interrupt(), Ping(1.0)) == [False] * 3
    assert seen.take(PICTURE, Interrupt(), Ping(1.0)) == [True, False, False]
    seen.pictures.close()


async def test_the_threads_are_there_while_there_is_a_picture() -> None:
    def threads() -> list[str]:
        return [one.name for one in threading.enumerate() if one.name.startswith("pictures")]

    seen = Seen()
    assert threads() == []
    seen.take(PICTURE)
    assert threads() != []
    await until(lambda: seen.all == ["picture"])
    await until(lambda: threads() == [])
    seen.pictures.close()


async def test_more_messages_than_may_wait_are_refused() -> None:
    """Each with an error; those that wait come all the same."""
    seen = Seen()
    seen.take(PICTURE, *[ClientText("text")] * 40)
    assert seen.all == ["too_many_pictures"] * 8
    await until(lambda: len(seen.all) == 8 + 1 + 32)
    seen.pictures.close()


async def test_after_the_end_nothing_is_delivered() -> None:
    seen = Seen()
    seen.take(PICTURE, ClientText("one"))
    seen.pictures.close()
    seen.pictures.close()
    assert seen.take(PICTURE) == [False]
    await asyncio.sleep(0)
    assert seen.all == []


async def test_an_error_says_that_the_agent_has_not_seen_it() -> None:
    errors: list[Error] = []
    pictures = CheckedPictures(
        on_picture=lambda jpeg: None,
        on_message=lambda message: None,
        on_refused=errors.append,
        longest_px=200,
    )
    pictures.take(Image("image/webp", b"no picture"))
    await until(lambda: bool(errors))
    assert not errors[0].retryable
    assert "not seen" in errors[0].message
    pictures.close()
