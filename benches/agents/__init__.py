"""Agents that are served to be measured against."""
