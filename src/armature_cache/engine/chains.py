"""Doubly linked lists of small integers, kept in two arrays."""

from __future__ import annotations

from array import array
from collections.abc import Iterator


class Chains:
    """Several circular lists over one space of slots; a slot is in at most one of them.

    The numbers below `heads` are the sentinels of the lists, the others are slots. A slot that is
    in no list points to itself, so that unlinking it is harmless. Eight bytes a slot, no objects
    for the garbage collector to visit, every operation O(1).
    """

    __slots__ = ("heads", "next", "prev")

    def __init__(self, heads: int) -> None:
        self.heads = heads
        self.next = array("i", range(heads))
        self.prev = array("i", range(heads))

    def grow(self) -> None:
        """Make room for one more slot."""
        self.next.append(len(self.next))
        self.prev.append(len(self.prev))

    def append(self, head: int, slot: int) -> None:
        """Put an unlinked slot at the end of a list."""
        following, previous = self.next, self.prev
        tail = previous[head]
        following[tail] = slot
        previous[slot] = tail
        following[slot] = head
        previous[head] = slot

    def unlink(self, slot: int) -> None:
        """Take a slot out of its list, if it is in one."""
        following, previous = self.next, self.prev
        after, before = following[slot], previous[slot]
        following[before] = after
        previous[after] = before
        following[slot] = previous[slot] = slot

    def splice(self, source: int, target: int) -> None:
        """Move all of one list to the end of another."""
        following, previous = self.next, self.prev
        first, last = following[source], previous[source]
        if first == source:
            return
        tail = previous[target]
        following[tail] = first
        previous[first] = tail
        following[last] = target
        previous[target] = last
        following[source] = previous[source] = source

    def members(self, head: int) -> Iterator[int]:
        """The slots of a list, first to last; the list must not change meanwhile."""
        slot = self.next[head]
        while slot != head:
            yield slot
            slot = self.next[slot]

    def clear(self) -> None:
        """Forget all slots."""
        self.next = array("i", range(self.heads))
        self.prev = array("i", range(self.heads))
