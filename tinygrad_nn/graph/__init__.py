"""Graphs as data: capture, text, pictures."""
