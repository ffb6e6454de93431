"""Samples, packets and speech as plain code: no clock, no task, no socket."""
