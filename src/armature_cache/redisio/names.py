"""The names of a namespace's keys on the server."""

from __future__ import annotations


class Names:
    """What the keys of one namespace are called; values and indexes share a hash tag."""

    __slots__ = ("_bucket", "channel", "clock", "keys", "registry")

    def __init__(self, namespace: str) -> None:
        self._bucket = f"{{{namespace}:0}}:"
        self.clock = f"{{{namespace}}}:c"
        self.keys = f"{{{namespace}}}:k"
        self.channel = f"{{{namespace}}}:p"
        self.registry = f"{self._bucket}T"

    def value(self, key: str) -> str:
        """Where the value of a key is."""
        return f"{self._bucket}v:{key}"

    def index(self, tag: str) -> str:
        """Where the listing index of a tag is."""
        return f"{self._bucket}i:{tag}"

    def scratch(self, key: str) -> str:
        """A key that a script uses while it runs and removes before it ends."""
        return f"{self._bucket}n:{key}"

    @property
    def value_prefix(self) -> str:
        """What the names of all values begin with."""
        return f"{self._bucket}v:"
