"""What to do about entries of another format."""

from __future__ import annotations

from armature_cache import envelope
from armature_cache.advice import Advice


def other_format(version: int) -> Advice:
    """The advice about entries of another format."""
    return Advice(
        "AC106",
        f"the namespace has entries of format {version}; this release reads and writes format "
        f"{envelope.VERSION}",
        "during an upgrade this passes; otherwise give the two their own namespaces, for the "
        "entries of one are misses to the other",
    )
