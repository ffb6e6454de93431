"""A port that stays a test's own while nobody listens on it."""

from __future__ import annotations

import socket

__all__ = ["hold_port"]


def hold_port(host: str = "127.0.0.1") -> socket.socket:
    """A socket on a free port, which is held until the caller closes it.

    It never listens: whoever is told the port, and reuses addresses, can listen there, again and
    again. To everybody else the port is taken, so that between a server's end and its next start
    no connection of another program gets it.
    """
    held = socket.socket()
    held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    held.bind((host, 0))
    return held
