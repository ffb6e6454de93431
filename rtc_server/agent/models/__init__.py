"""The live models of an agent, and a call's way to them on good days and bad."""
