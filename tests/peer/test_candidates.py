"""Candidate lines: what is taken, what is left out, what is refused."""

from __future__ import annotations

import pytest

from rtc_server.errors import CandidateError
from rtc_server.peer.candidates import parse_candidate


@pytest.mark.parametrize(
    "line",
    [
        "candidate:1 1 tcp 1518280447 192.0.2.1 9 typ host tcptype active",
        "candidate:1 2 udp 2113937151 192.0.2.1 40000 typ host",
        "candidate:1 1 udp 2113937151 192.0.2.1 0 typ host",
    ],
)
def test_candidates_that_cannot_be_used_are_left_out(line: str) -> None:
    """TCP, a second component, no port."""
    assert parse_candidate(line) is None


@pytest.mark.parametrize(
    "line",
    [
        "",
        "nonsense",
        "candidate:",
        "candidate:1 1 udp 1 192.0.2.1 40000 host typ",
        "candidate:1 1 udp x 192.0.2.1 40000 typ host",
        "candidate:1 1 udp 1 192.0.2.1 99999 typ host",
        "candidate:1 1 udp 99999999999 192.0.2.1 40000 typ host",
        "candidate:1 -1 udp 1 192.0.2.1 40000 typ host",
        "candidate:1 1 udp 1 192.0.2.1 \u0661 typ host",
        "candidate:1 1 udp 1 192.0.2.1 40000 typ other",
        "candidate:ä 1 udp 1 192.0.2.1 40000 typ host",
        "candidate:1 1 udp 1 192.0.2.1 40000 typ host " + "x" * 600,
    ],
)
def test_a_candidate_line_of_nonsense_is_an_error(line: str) -> None:
    with pytest.raises(CandidateError):
        parse_candidate(line)


def test_a_usable_candidate_is_read() -> None:
    found = parse_candidate(
        "candidate:842163049 1 udp 1677729535 2001:DB8::1 40000 typ srflx raddr 10.0.0.1 "
        "rport 50000 generation 0 ufrag abcd network-cost 999"
    )
    assert found is not None
    assert (found.ip, found.port, found.type) == ("2001:db8::1", 40000, "srflx")
