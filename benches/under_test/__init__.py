"""Servers that are measured, each a program of its own; ``catalogue.py`` lists them."""
