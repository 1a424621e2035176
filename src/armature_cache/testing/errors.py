"""What goes wrong with servers."""

from __future__ import annotations


class ServerError(RuntimeError):
    """A server did not start, is not in the state that the call needs, or refused a command."""
