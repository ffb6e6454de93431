"""Everything that touches aiortc: the peer connection and what crosses it."""
