"""Explicit-state model of the coherence protocol (see README.md)."""
