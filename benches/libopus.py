"""The libopus that PyAV brings along, called directly: the codec work and nothing around it."""

from __future__ import annotations

import ctypes
from pathlib import Path

import av

__all__ = ["Decoder", "Encoder", "version"]

_APPLICATION_VOIP = 2048
_SET_BITRATE = 4002
_SET_COMPLEXITY = 4010
_MAX_PACKET_BYTES = 1500
_MAX_FRAME_MS = 120


def _load() -> ctypes.CDLL:
    package = Path(av.__file__).parent
    found = sorted((package.parent / "av.libs").glob("libopus*.so*"))
    return ctypes.CDLL(str(found[0]) if found else "libopus.so.0")


_lib = _load()
_int_p = ctypes.POINTER(ctypes.c_int)
_lib.opus_get_version_string.restype = ctypes.c_char_p
_lib.opus_encoder_create.argtypes = [ctypes.c_int32, ctypes.c_int, ctypes.c_int, _int_p]
_lib.opus_encoder_create.restype = ctypes.c_void_p
_lib.opus_encoder_destroy.argtypes = [ctypes.c_void_p]
_lib.opus_encode.argtypes = [
    ctypes.c_void_p,
    ctypes.c_char_p,
    ctypes.c_int,
    ctypes.c_char_p,
    ctypes.c_int32,
]
_lib.opus_decoder_create.argtypes = [ctypes.c_int32, ctypes.c_int, _int_p]
_lib.opus_decoder_create.restype = ctypes.c_void_p
_lib.opus_decoder_destroy.argtypes = [ctypes.c_void_p]
_lib.opus_decode.argtypes = [
    ctypes.c_void_p,
    ctypes.c_char_p,
    ctypes.c_int32,
    ctypes.c_char_p,
    ctypes.c_int,
    ctypes.c_int,
]


def version() -> str:
    """What the library calls itself."""
    name: bytes = _lib.opus_get_version_string()
    return name.decode()


class Encoder:
    """s16 mono at ``rate`` to Opus, as our server encodes: voip, variable bit rate."""

    def __init__(self, rate: int, *, bitrate: int = 32_000, complexity: int = 5) -> None:
        error = ctypes.c_int()
        self._state = _lib.opus_encoder_create(rate, 1, _APPLICATION_VOIP, ctypes.byref(error))
        if error.value:
            raise ValueError(f"libopus encodes no {rate} Hz")
        self._out = ctypes.create_string_buffer(_MAX_PACKET_BYTES)
        for request, value in ((_SET_BITRATE, bitrate), (_SET_COMPLEXITY, complexity)):
            _lib.opus_encoder_ctl(
                ctypes.c_void_p(self._state), ctypes.c_int(request), ctypes.c_int32(value)
            )

    def __del__(self) -> None:
        _lib.opus_encoder_destroy(self._state)

    def encode(self, pcm: bytes) -> bytes:
        """One packet of one frame."""
        size = _lib.opus_encode(self._state, pcm, len(pcm) // 2, self._out, _MAX_PACKET_BYTES)
        if size < 0:
            raise ValueError(f"libopus: error {size}")
        return self._out.raw[:size]


class Decoder:
    """Opus to s16 mono at ``rate``."""

    def __init__(self, rate: int) -> None:
        error = ctypes.c_int()
        self._state = _lib.opus_decoder_create(rate, 1, ctypes.byref(error))
        if error.value:
            raise ValueError(f"libopus decodes to no {rate} Hz")
        self._samples = rate * _MAX_FRAME_MS // 1000
        self._out = ctypes.create_string_buffer(self._samples * 2)

    def __del__(self) -> None:
        _lib.opus_decoder_destroy(self._state)

    def decode(self, packet: bytes) -> bytes:
        """The samples of one packet; none if it is not Opus."""
        count = _lib.opus_decode(self._state, packet, len(packet), self._out, self._samples, 0)
        return self._out.raw[: max(0, count) * 2]
