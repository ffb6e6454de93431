"""The embedded offline agent, an ADK agent like any other."""
