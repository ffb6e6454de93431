"""A sound card in a room: for a browser without fake devices, what it hears and what it says."""

from __future__ import annotations

import asyncio
import os
from asyncio.subprocess import DEVNULL, Process
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import numpy as np

from tests.browser.speech import RATE, Samples

__all__ = ["Recording", "SoundCard", "is_audible", "open_sound_card"]

START_TIMEOUT_S = 20
STOP_TIMEOUT_S = 10
SOUND_TIMEOUT_S = 30

CONFIGURATION = """
load-module module-native-protocol-unix auth-anonymous=1 socket={socket}
load-module module-null-sink sink_name=loudspeaker rate=48000 channels=2
load-module module-null-sink sink_name=room rate=48000 channels=1
load-module module-remap-source source_name=echo master=loudspeaker.monitor
set-source-volume echo 16400
load-module module-loopback source=echo sink=room latency_msec=30 {fixed}
load-module module-remap-source source_name=microphone master=room.monitor
set-default-sink loudspeaker
set-default-source microphone
"""
"""The microphone hears what is said in the room and, 36 dB lower, the loudspeaker: a browser's
echo canceller takes any voice for echo until it has met one."""


FIXED = "source_dont_move=yes sink_dont_move=yes"
"""The loopback stays where it is when the defaults change: else the room hears itself."""


class Recording:
    """What came out of the loudspeaker; it grows with the time, in silence too."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def read(self) -> Samples:
        """All of it so far, at :data:`tests.browser.speech.RATE`."""
        return np.fromfile(self._path, np.int16) if self._path.exists() else np.zeros(0, np.int16)

    async def wait_for_sound(self) -> None:
        """Wait until something was audible."""
        await self._grow_until(is_audible, SOUND_TIMEOUT_S)

    async def read_further(self, seconds: float) -> Samples:
        """What is recorded from now on, in so many seconds of the sound card."""
        start = len(self.read())
        end = start + int(seconds * RATE)
        samples = await self._grow_until(lambda all: len(all) >= end, seconds + SOUND_TIMEOUT_S)
        return samples[start:end]

    async def _grow_until(self, holds: Callable[[Samples], bool], timeout_s: float) -> Samples:
        async with asyncio.timeout(timeout_s):
            while True:
                samples = self.read()
                if holds(samples):
                    return samples
                await asyncio.sleep(0.05)  # that is how a file grows


def is_audible(samples: Samples) -> bool:
    """Whether anything in ``samples`` is louder than -36 dBFS."""
    return bool(np.any(np.abs(samples.astype(np.int32)) > 500))


class SoundCard:
    """A PulseAudio daemon of its own: no hardware, files go in and recordings come out."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._socket = folder / "native"

    @property
    def environment(self) -> Mapping[str, str]:
        """What a program is started with that is to use this card and no other."""
        return {
            **os.environ,
            "HOME": str(self._folder),
            "XDG_RUNTIME_DIR": str(self._folder),
            "PULSE_SERVER": f"unix:{self._socket}",
        }

    async def say(self, wav: Path) -> None:
        """Say ``wav`` in the room, to its end."""
        process = await self._start(
            "paplay", "--device=room", "--latency-msec=500", "--client-name=speaker", str(wav)
        )
        assert await process.wait() == 0

    @asynccontextmanager
    async def recording(self) -> AsyncIterator[Recording]:
        """Record what comes out of the loudspeaker from now on."""
        path = self._folder / "loudspeaker.raw"
        options = ("--format=s16le", f"--rate={RATE}", "--channels=1", "--latency-msec=50")
        process = await self._start("parec", "--device=loudspeaker.monitor", *options, str(path))
        try:
            yield Recording(path)
        finally:
            await _end(process)

    async def _start(self, program: str, *arguments: str) -> Process:
        return await asyncio.create_subprocess_exec(program, *arguments, env=self.environment)

    async def _is_up(self) -> bool:
        process = await asyncio.create_subprocess_exec(
            "pactl", "get-default-source", stdout=DEVNULL, stderr=DEVNULL, env=self.environment
        )
        return await process.wait() == 0


@asynccontextmanager
async def open_sound_card(folder: Path) -> AsyncIterator[SoundCard]:
    """Start the daemon; at the end it is gone."""
    card = SoundCard(folder)
    script = folder / "card.pa"
    script.write_text(CONFIGURATION.format(socket=folder / "native", fixed=FIXED))
    options = ("--daemonize=no", "--exit-idle-time=-1", "--use-pid-file=no", "--disable-shm=yes")
    quiet = ("--log-level=error", "--high-priority=yes", "--realtime=yes")
    process = await asyncio.create_subprocess_exec(
        "pulseaudio", *options, *quiet, "-n", "-F", str(script), env=card.environment
    )
    try:
        async with asyncio.timeout(START_TIMEOUT_S):
            while True:
                assert process.returncode is None, "PulseAudio has ended"
                if await card._is_up():
                    break
                await asyncio.sleep(0.1)
        yield card
    finally:
        await _end(process)


async def _end(process: Process) -> None:
    if process.returncode is None:
        process.terminate()
    async with asyncio.timeout(STOP_TIMEOUT_S):
        await process.wait()
