"""What comes of a caller's sound before his agent is there, and when the call ends."""

from __future__ import annotations

from rtc_server.caller_side import CallerSide
from rtc_server.messages import ServerMessage
from rtc_server.metrics import Metrics
from rtc_server.peer.uplink import UplinkAudio
from tests.conversation_stage import Stage

SPEECH = UplinkAudio(b"\x00\x20" * 320, 100.0, speech=True)
DROPPED = 'rtc_audio_dropped_seconds_total{direction="uplink",reason="not_ready"}'


def caller_side(metrics: Metrics, sent: list[ServerMessage]) -> CallerSide:
    stage = Stage()
    return CallerSide(
        stage.conversation,
        perform=lambda actions: None,
        send=sent.append,
        allow_state=frozenset(),
        has_audio_section=True,
        picture_px=64,
        metrics=metrics,
        clock=lambda: 100.0,
    )


def dropped_s(metrics: Metrics) -> float:
    for line in metrics.exposition().decode().splitlines():
        if line.startswith(DROPPED):
            return float(line.rpartition(" ")[2])
    return 0.0


async def test_sound_before_the_agent_is_there_is_counted() -> None:
    metrics = Metrics()
    side = caller_side(metrics, [])
    side.on_audio(SPEECH)
    assert dropped_s(metrics) == 0.02


async def test_sound_that_comes_while_the_call_ends_is_nobody_s_loss() -> None:
    """The agent is gone because the call is over; nothing was too early."""
    metrics = Metrics()
    side = caller_side(metrics, [])
    side.close()
    side.on_audio(SPEECH)
    assert dropped_s(metrics) == 0.0
