"""Tools in a live session: watched, bounded, asked about, run by the caller's client."""
