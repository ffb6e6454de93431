"""libopus called directly, through ctypes: the codec's own work and next to nothing around it.

The library is the one that PyAV's wheel ships, else the system's.  It is tried out when it is
loaded: who gets a :class:`Library` can rely on it.  All memory is Python's own, states
included, so that nothing has to be closed and no call allocates but for its result.

Calls keep the GIL (``ctypes.PyDLL``): they last 20 to 150 µs, while a thread that has given
the GIL away waits up to 5 ms to get it back from a busy one.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import functools
from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np

from ..errors import RtcServerError
from .opus_packet import OpusError

__all__ = ["Control", "Decoder", "Encoder", "Library", "LibopusUnavailable", "load"]

_BYTES_PER_SAMPLE = 2
_LONGEST_MS = 120  # of a packet (RFC 6716, section 3.2.5)
_PACKET_BYTES = 1500  # one frame is at most 1275 bytes and two of header
_APPLICATION_VOIP = 2048


class Control:
    """Requests of ``opus_encoder_ctl`` (opus_defines.h); they may be made at any time."""

    BITRATE = 4002
    VBR = 4006
    COMPLEXITY = 4010
    INBAND_FEC = 4012
    PACKET_LOSS_PERCENT = 4014
    SIGNAL = 4024

    SIGNAL_AUTO = -1000
    SIGNAL_VOICE = 3001
    SIGNAL_MUSIC = 3002


class LibopusUnavailable(RtcServerError):
    """No libopus can be called; the message says what was tried."""


class Library:
    """The functions of one libopus.

    :raises OSError: it cannot be loaded.
    :raises AttributeError: it lacks a function.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        functions = ctypes.PyDLL(path)
        pointer, integer, int32 = ctypes.c_void_p, ctypes.c_int, ctypes.c_int32
        functions.opus_get_version_string.restype = ctypes.c_char_p
        functions.opus_decoder_get_size.argtypes = [integer]
        functions.opus_decoder_init.argtypes = [pointer, int32, integer]
        functions.opus_encoder_get_size.argtypes = [integer]
        functions.opus_encoder_init.argtypes = [pointer, int32, integer, integer]
        functions.opus_encoder_ctl.argtypes = [pointer, integer]  # and one more: it is variadic
        self.decode = functions.opus_decode
        self.decode.argtypes = [pointer, ctypes.c_char_p, int32, pointer, integer, integer]
        self.encode = functions.opus_encode
        self.encode.argtypes = [pointer, ctypes.c_char_p, integer, pointer, int32]
        self._functions = functions
        version: bytes = functions.opus_get_version_string()
        self.version = version.decode("ascii", "replace")

    def new_decoder(self, rate: int) -> ctypes.Array[ctypes.c_char]:
        """The state of a mono decoder."""
        state = ctypes.create_string_buffer(self._functions.opus_decoder_get_size(1))
        if self._functions.opus_decoder_init(ctypes.addressof(state), rate, 1):
            raise ValueError(f"libopus decodes to no {rate} Hz")
        return state

    def new_encoder(self, rate: int) -> ctypes.Array[ctypes.c_char]:
        """The state of a mono encoder for speech."""
        state = ctypes.create_string_buffer(self._functions.opus_encoder_get_size(1))
        address = ctypes.addressof(state)
        if self._functions.opus_encoder_init(address, rate, 1, _APPLICATION_VOIP):
            raise ValueError(f"libopus encodes no {rate} Hz")
        return state

    def control(self, encoder: int, request: int, value: int) -> None:
        """Sets one of :class:`Control`.

        :raises ValueError: libopus refuses the value.
        """
        if self._functions.opus_encoder_ctl(encoder, request, ctypes.c_int32(value)):
            raise ValueError(f"libopus refuses {value} for request {request}")


def _taken(buffer: ctypes.Array[ctypes.c_char], size: int) -> bytes:
    """A copy of the first bytes; typeshed says list for a slice."""
    return buffer[:size]  # type: ignore[return-value]


class Decoder:
    """One stream of packets to s16 mono at ``rate``."""

    def __init__(self, library: Library, rate: int) -> None:
        self._state = library.new_decoder(rate)
        self._address = ctypes.addressof(self._state)
        self._most = rate * _LONGEST_MS // 1000
        self._pcm = ctypes.create_string_buffer(self._most * _BYTES_PER_SAMPLE)
        self._pcm_address = ctypes.addressof(self._pcm)
        self._decode = library.decode

    def decode(self, payload: bytes) -> bytes:
        """The samples of one packet; a frame without data in it is concealed.

        :raises OpusError: the payload is no Opus packet.
        """
        if not payload:  # it would be taken for a lost packet
            raise OpusError("the payload is not an Opus packet")
        count = self._decode(self._address, payload, len(payload), self._pcm_address, self._most, 0)
        if count <= 0:
            raise OpusError("the payload is not an Opus packet")
        return _taken(self._pcm, count * _BYTES_PER_SAMPLE)

    def recover(self, next_payload: bytes, samples: int) -> bytes | None:
        """The ``samples`` before a packet, from its in-band FEC; what that does not cover is
        concealed.

        :param samples: a multiple of 2.5 ms, at most 120 ms.
        :returns: None if libopus refuses; the state is as before then.
        """
        size = len(next_payload)
        count = self._decode(
            self._address, next_payload, size, self._pcm_address, min(samples, self._most), 1
        )
        return _taken(self._pcm, count * _BYTES_PER_SAMPLE) if count == samples else None


class Encoder:
    """s16 mono at ``rate`` to packets of one frame."""

    def __init__(self, library: Library, rate: int) -> None:
        self._library = library
        self._state = library.new_encoder(rate)
        self._address = ctypes.addressof(self._state)
        self._packet = ctypes.create_string_buffer(_PACKET_BYTES)
        self._packet_address = ctypes.addressof(self._packet)
        self._samples = rate // 50
        self._encode = library.encode

    def control(self, request: int, value: int) -> None:
        """Sets one of :class:`Control`; holds from the next packet on.

        :raises ValueError: libopus refuses the value.
        """
        self._library.control(self._address, request, value)

    def encode(self, pcm: bytes) -> bytes:
        """One packet of 20 ms; as many bytes have to be there."""
        size = self._encode(self._address, pcm, self._samples, self._packet_address, _PACKET_BYTES)
        if size <= 0:
            raise RuntimeError(f"libopus: error {size}")
        return _taken(self._packet, size)


@functools.cache
def load() -> Library:
    """The first libopus that is found and passes its test.

    :raises LibopusUnavailable: none does.
    """
    failures = []
    for path in _candidates():
        try:
            library = Library(path)
            _try_out(library)
        except (OSError, AttributeError, ValueError, RuntimeError, RtcServerError) as error:
            failures.append(f"{Path(path).name}: {error}")
        else:
            return library
    raise LibopusUnavailable("; ".join(failures) or "no library of that name is there")


def _candidates() -> Iterator[str]:
    """PyAV's own, which is loaded already, then the system's."""
    package = Path(av.__file__).parent
    for folder in (package.parent / "av.libs", package / ".dylibs"):
        yield from sorted(str(path) for path in folder.glob("libopus*"))
    found = ctypes.util.find_library("opus")
    if found is not None:
        yield found


def _try_out(library: Library) -> None:
    """Encodes a tone and decodes it, with one packet lost.

    :raises RuntimeError: something else comes out.
    """
    rate_in, rate_out, frequency, frames = 24_000, 16_000, 1_000, 10
    angles = 2 * np.pi * frequency * np.arange(rate_in // 50 * frames) / rate_in
    tone = np.rint(8_000 * np.sin(angles)).astype("<i2").tobytes()
    size = rate_in // 50 * _BYTES_PER_SAMPLE
    encoder, decoder = Encoder(library, rate_in), Decoder(library, rate_out)
    for request, value in ((Control.BITRATE, 32_000), (Control.INBAND_FEC, 1)):
        encoder.control(request, value)
    packets = [encoder.encode(tone[size * n : size * (n + 1)]) for n in range(frames)]
    pieces = [decoder.decode(packet) for packet in packets[:6]]
    pieces += [decoder.recover(packets[7], rate_out // 50) or b""]
    pieces += [decoder.decode(packet) for packet in packets[7:]]
    heard = np.frombuffer(b"".join(pieces), "<i2")
    if len(heard) != rate_out // 50 * frames:
        raise RuntimeError(f"{len(heard)} samples came back")
    spectrum = np.abs(np.fft.rfft(heard[rate_out // 25 :]))
    loudest = np.argmax(spectrum) * rate_out / (len(heard) - rate_out // 25)
    if abs(loudest - frequency) > 20 or np.max(np.abs(heard)) < 4_000:
        raise RuntimeError(f"a tone of {frequency} Hz came back as {loudest:.0f} Hz")
