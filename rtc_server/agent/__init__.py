"""Everything that touches ADK: the live session, its events, agents and sessions."""
