"""The page's choice of microphone and speaker, as devices come and go.

The devices are Chromium's fake ones, which cannot be pulled out: what the page asks the browser
for goes through a script that hides the one that is unplugged and ends what it recorded, as a
browser does.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from playwright.async_api import Browser, Locator, expect

from tests.browser.chromium import CallPage, open_call_page
from tests.browser.stand_in_server import StandInCall, StandInServer
from tests.browser.tone import ToneTrack

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.deadline(90)]

PLUGS = """
(() => {
  const devices = navigator.mediaDevices;
  const enumerate = devices.enumerateDevices.bind(devices);
  const record = devices.getUserMedia.bind(devices);
  const hidden = new Set();
  const live = [];
  globalThis.opened = [];

  // The browser's own aliases of other devices are not plugged in or out.
  const isAlias = ({ deviceId }) => ["default", "communications"].includes(deviceId);
  const isThere = (device) => !hidden.has(device.label);

  devices.enumerateDevices = async () => {
    const all = await enumerate();
    const left = all.filter((one) => !isAlias(one) && isThere(one));
    const isLeft = ({ kind }) => left.some((one) => one.kind === kind);
    return all.filter((one) => (isAlias(one) ? isLeft(one) : isThere(one)));
  };

  devices.getUserMedia = async (wanted) => {
    if (!Object.hasOwn(globalThis, "wasAllowed")) {
      for (const track of (await record({ audio: true })).getTracks()) track.stop();
      globalThis.wasAllowed = true; // now they have names
    }
    const microphones = (await devices.enumerateDevices()).filter(
      (one) => one.kind === "audioinput" && !isAlias(one),
    );
    if (microphones.length === 0) throw new DOMException("", "NotFoundError");
    const chosen = microphones.find((one) => one.deviceId === wanted.audio.deviceId?.ideal);
    const deviceId = { exact: (chosen ?? microphones[0]).deviceId };
    const stream = await record({ audio: { ...wanted.audio, deviceId } });
    const [track] = stream.getAudioTracks();
    live.push(track);
    opened.push({ deviceId: track.getSettings().deviceId, label: track.label });
    return stream;
  };

  const setSinkId = HTMLMediaElement.prototype.setSinkId;
  HTMLMediaElement.prototype.setSinkId = async function (deviceId) {
    const all = await devices.enumerateDevices();
    if (deviceId !== "" && !all.some((one) => one.deviceId === deviceId)) {
      throw new DOMException("", "NotFoundError");
    }
    await setSinkId.call(this, deviceId);
  };

  globalThis.unplug = (label) => {
    hidden.add(label);
    for (const track of live) {
      if (track.label !== label || track.readyState !== "live") continue;
      track.stop();
      track.dispatchEvent(new Event("ended"));
    }
    devices.dispatchEvent(new Event("devicechange"));
  };
  globalThis.plugIn = (label) => {
    hidden.delete(label);
    devices.dispatchEvent(new Event("devicechange"));
  };
  globalThis.liveTrack = () => live.findLast((track) => track.readyState === "live");

  globalThis.peers = [];
  const Original = RTCPeerConnection;
  globalThis.RTCPeerConnection = class extends Original {
    constructor(...given) {
      super(...given);
      peers.push(this);
    }
  };
})();
"""

LEVEL = "Number(document.querySelector('#stage').style.getPropertyValue(name))"


class Devices:
    """The call page in an audio call, and the devices that it uses."""

    def __init__(self, call_page: CallPage, server: StandInServer) -> None:
        self.call_page = call_page
        self.page = call_page.page
        self.server = server
        self.microphone = self.page.locator("#microphone")
        self.speaker = self.page.locator("#speaker")

    async def run(self, script: str, given: Any = None) -> Any:
        return await self.page.evaluate(script, given)

    async def until(self, condition: str, given: Any = None) -> None:
        """Wait until an expression of the page holds; ``given`` in it."""
        script = f"""async (given) => {{
          while (!({condition})) await new Promise((resolve) => setTimeout(resolve, 30));
        }}"""
        async with asyncio.timeout(30):
            await self.page.evaluate(script, given)

    async def wait_connected(self) -> StandInCall:
        async with asyncio.timeout(30):
            call = await self.server.next_call()
        await self.call_page.wait_connected()
        return call

    async def start_audio(self) -> StandInCall:
        await self.call_page.start_audio.click()
        call = await self.wait_connected()
        assert call.has_audio
        return call

    async def names(self, select: Locator) -> list[str]:
        """What there is to choose from, without the system's default."""
        await expect(select.locator("option")).not_to_have_count(1)
        names = await select.locator("option").all_inner_texts()
        return names[1:]

    async def choose(self, select: Locator, name: str) -> str:
        """Choose a device in the settings; return its id."""
        await self.page.locator("#settings-open").click()
        (chosen,) = await select.select_option(label=name)
        await self.page.locator("#settings").get_by_role("button", name="Close").click()
        return chosen

    async def flip(self, name: str) -> None:
        """Flip one of the switches of the settings."""
        await self.page.locator("#settings-open").click()
        await self.page.locator(f"#{name}").click()
        await self.page.locator("#settings").get_by_role("button", name="Close").click()

    async def preferences(self) -> dict[str, Any]:
        stored: dict[str, Any] = json.loads(await self.run("localStorage['rtc.preferences']"))
        return stored

    async def wait_sends(self, device_id: str) -> None:
        """Wait until the newest connection sends what that device records."""
        await self.until(
            """peers.at(-1).getSenders().some(({ track }) =>
                 track?.readyState === "live" && track.getSettings().deviceId === given)""",
            device_id,
        )

    async def wait_plays_on(self, device_id: str) -> None:
        await self.until("document.querySelector('#remote').sinkId === given", device_id)

    async def wait_level(self, name: str, condition: str) -> None:
        """Wait until the level of that CSS variable fulfils a condition on ``level``."""
        await self.until(
            f"((name) => {{ const level = {LEVEL}; return {condition}; }})(given)", name
        )


@asynccontextmanager
async def open_devices(browser: Browser, server: StandInServer) -> AsyncIterator[Devices]:
    """The page, connected without a microphone."""
    async with open_call_page(browser, server.url, init_script=PLUGS) as call_page:
        devices = Devices(call_page, server)
        await devices.wait_connected()
        yield devices


# -- what is chosen ------------------------------------------------------------------------


async def test_chosen_microphone_is_used_at_once_and_after_a_reload(
    browser: Browser, server: StandInServer
) -> None:
    """Without another connection the first time, and without choosing the second time."""
    async with open_devices(browser, server) as devices:
        await devices.start_audio()
        first, second, *_ = await devices.names(devices.microphone)
        assert await devices.run("opened.at(-1).label") == first
        chosen = await devices.choose(devices.microphone, second)
        await devices.wait_sends(chosen)
        assert await devices.run("opened.at(-1).label") == second
        assert len(server.calls) == 2  # the text call, and the audio call in its place
        assert (await devices.preferences())["microphone"] == chosen

        await devices.page.reload()
        await devices.wait_connected()
        await devices.start_audio()
        await devices.wait_sends(chosen)
        assert await devices.run("opened.map(({ label }) => label)") == [second]
        await expect(devices.microphone).to_have_value(chosen)


async def test_chosen_speaker_is_used_at_once_and_after_a_reload(
    browser: Browser, server: StandInServer
) -> None:
    async with open_devices(browser, server) as devices:
        await devices.start_audio()
        name = (await devices.names(devices.speaker))[-1]
        chosen = await devices.choose(devices.speaker, name)
        await devices.wait_plays_on(chosen)
        assert (await devices.preferences())["speaker"] == chosen

        await devices.page.reload()
        await devices.wait_connected()
        await devices.start_audio()
        await devices.wait_plays_on(chosen)
        await expect(devices.speaker).to_have_value(chosen)
        await expect(devices.call_page.notice).to_be_hidden()


PROCESSING = ("echoCancellation", "noiseSuppression", "autoGainControl")


@pytest.mark.parametrize("name", PROCESSING)
async def test_processing_is_switched_within_the_call_and_stays_after_a_reload(
    browser: Browser, server: StandInServer, name: str
) -> None:
    """The other two stay on."""
    async with open_devices(browser, server) as devices:
        await devices.start_audio()
        expected = dict.fromkeys(PROCESSING, True)
        settings = f"""(({{ {", ".join(PROCESSING)} }}) => ({{ {", ".join(PROCESSING)} }}))(
          liveTrack().getSettings())"""
        assert await devices.run(settings) == expected

        await devices.flip(name)
        await devices.until(
            "peers.at(-1).getSenders()[0].track?.getSettings()[given] === false", name
        )
        expected[name] = False
        assert await devices.run(settings) == expected
        assert len(server.calls) == 2

        await devices.page.reload()
        await devices.wait_connected()
        await devices.start_audio()
        assert await devices.run(settings) == expected
        await expect(devices.page.locator(f"#{name}")).not_to_be_checked()


# -- plugs ---------------------------------------------------------------------------------


async def test_unplugged_microphone_is_replaced_and_used_again_when_it_is_back(
    browser: Browser, server: StandInServer
) -> None:
    """The notice says which one is used; the call is the same all the time."""
    async with open_devices(browser, server) as devices:
        await devices.start_audio()
        first, second, *_ = await devices.names(devices.microphone)
        chosen = await devices.choose(devices.microphone, second)
        await devices.wait_sends(chosen)

        await devices.run("unplug", second)
        await expect(devices.call_page.notice).to_contain_text(f"Now using {first}.")
        await devices.wait_sends(await devices.run("opened.at(-1).deviceId"))
        await expect(devices.microphone.locator("option")).to_have_count(2)  # with the default
        assert await devices.names(devices.microphone) == [first]

        await devices.run("plugIn", second)
        await expect(devices.call_page.notice).to_contain_text(f"Now using {second}.")
        await devices.wait_sends(chosen)
        await expect(devices.microphone).to_have_value(chosen)
        assert len(server.calls) == 2


async def test_last_microphone_that_goes_is_missed_until_one_comes(
    browser: Browser, server: StandInServer
) -> None:
    """The call stands meanwhile, and is spoken into again without a click."""
    async with open_devices(browser, server) as devices:
        await devices.start_audio()
        first, second, *_ = await devices.names(devices.microphone)
        await devices.run("unplug", second)
        await devices.run("unplug", first)
        await expect(devices.call_page.notice).to_have_attribute("data-code", "microphone_lost")
        await devices.until("peers.at(-1).getSenders()[0].track === null")
        await devices.wait_level("--own", "level === 0")

        await devices.run("plugIn", second)
        await expect(devices.call_page.notice).to_contain_text(f"Now using {second}.")
        await devices.wait_sends(await devices.run("opened.at(-1).deviceId"))
        await devices.wait_level("--own", "level > 0.2")
        assert len(server.calls) == 2


async def test_muted_microphone_stays_muted_when_another_takes_its_place(
    browser: Browser, server: StandInServer
) -> None:
    async with open_devices(browser, server) as devices:
        await devices.start_audio()
        first, second, *_ = await devices.names(devices.microphone)
        await devices.call_page.mute.click()
        await devices.run("unplug", first)
        await expect(devices.call_page.notice).to_contain_text(f"Now using {second}.")
        assert await devices.run("liveTrack().enabled") is False


async def test_unplugged_speaker_falls_back_and_returns(
    browser: Browser, server: StandInServer
) -> None:
    async with open_devices(browser, server) as devices:
        await devices.start_audio()
        name = (await devices.names(devices.speaker))[-1]
        chosen = await devices.choose(devices.speaker, name)
        await devices.wait_plays_on(chosen)

        await devices.run("unplug", name)
        await devices.wait_plays_on("")
        await expect(devices.speaker).to_have_value("")

        await devices.run("plugIn", name)
        await devices.wait_plays_on(chosen)
        await expect(devices.speaker).to_have_value(chosen)


async def test_speaker_that_is_not_there_yet_is_used_when_it_comes(
    browser: Browser, server: StandInServer
) -> None:
    """The headphones are still in the bag when the page is opened."""
    async with open_devices(browser, server) as devices:
        await devices.start_audio()
        name = (await devices.names(devices.speaker))[-1]
        chosen = await devices.choose(devices.speaker, name)
        await devices.wait_plays_on(chosen)
        await devices.page.add_init_script(f"unplug({json.dumps(name)})")

        await devices.page.reload()
        await devices.wait_connected()
        await devices.start_audio()
        await devices.wait_plays_on("")
        await devices.run("plugIn", name)
        await devices.wait_plays_on(chosen)


# -- levels --------------------------------------------------------------------------------


async def test_both_levels_move_with_the_sound_and_fall_with_the_call(
    browser: Browser, server: StandInServer
) -> None:
    """The fake microphone beeps once a second, the agent sounds a tone."""
    server.make_track = ToneTrack
    async with open_devices(browser, server) as devices:
        await devices.wait_level("--own", "level === 0")
        await devices.start_audio()
        await devices.wait_level("--agents", "level > 0.7")
        await devices.wait_level("--own", "level > 0.2")
        await devices.wait_level("--own", "level < 0.1")  # between two beeps
        await devices.call_page.hang_up.click()
        await expect(devices.call_page.state).to_have_text(re.compile("Not connected"))
        await devices.wait_level("--agents", "level === 0")
        await devices.wait_level("--own", "level === 0")


async def test_silent_agent_and_muted_microphone_show_no_level(
    browser: Browser, server: StandInServer
) -> None:
    async with open_devices(browser, server) as devices:
        await devices.start_audio()
        await devices.wait_level("--own", "level > 0.2")
        await devices.call_page.mute.click()
        await devices.wait_level("--own", "level === 0")
        levels = await devices.run(
            f"""async () => {{
              const seen = [];
              const level = (name) => {LEVEL};
              for (let frame = 0; frame < 90; frame += 1) {{
                seen.push(level("--own"), level("--agents"));
                await new Promise(requestAnimationFrame);
              }}
              return seen;
            }}"""
        )
        assert set(levels) == {0}
