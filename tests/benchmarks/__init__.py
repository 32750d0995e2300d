"""Measurements of speed and memory; never part of the default test run, and never deciding it."""
