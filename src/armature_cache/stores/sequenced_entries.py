"""Entries whose stamps have an order: judged by sequences, by the replica or by the server."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Final

from armature_cache import envelope
from armature_cache.clocks.digest import digest
from armature_cache.clocks.judgement import Verdict
from armature_cache.codecs.counter import COUNTER_CODE
from armature_cache.entry import Entry, StoredEntry, rare_of
from armature_cache.envelope import Envelope, Flag
from armature_cache.stores.shared_entries import PAGE, Judged, SharedEntries

_LEAST_LEFT: Final = 0.001
_SLIDING: Final = Flag.SLIDING
_SWAPPED: Final = Flag.SWAPPED
_NO_EXPIRY: Final = Flag.NO_EXPIRY


class SequencedEntries(SharedEntries):
    """The entry-level operations of stores with a clock of sequences."""

    # -- judging -----------------------------------------------------------------------------

    async def _judge(
        self, keys: Sequence[str], raws: Sequence[bytes | None], seen: int, *, settled: bool = False
    ) -> list[Judged]:
        sealed = []
        found = await self._sealing.parse(keys, raws)
        for key, raw, parsed in zip(keys, raws, found, strict=True):
            if parsed is None:
                if raw is not None:
                    self._cannot_read(raw)
            elif not parsed.flags & Flag.TOMBSTONE:
                sealed.append((key, parsed))
        judged = await self._sift(sealed, settled=settled)
        now = self.time()
        return [(self._entry(key, parsed, seen, now), parsed) for key, parsed in judged]

    async def _sift(
        self, sealed: list[tuple[str, Envelope]], *, settled: bool = False
    ) -> list[tuple[str, Envelope]]:
        """Those that are valid, asking the server where the replica cannot tell."""
        verdicts = self._verdicts(sealed, settled=settled)
        if Verdict.AHEAD in verdicts:
            await self.clock.resync()
            verdicts = self._verdicts(sealed, settled=settled)
        if Verdict.UNKNOWN in verdicts:
            unsure = [
                item for item, verdict in zip(sealed, verdicts, strict=True)
                if verdict is Verdict.UNKNOWN
            ]  # fmt: skip
            tags = list(dict.fromkeys(tag for _, parsed in unsure for tag in parsed.tags))
            scores = await self.clock.scores(tags)
            verdicts = [
                Verdict.VALID
                if verdict is Verdict.UNKNOWN and scores is not None and self._newer(parsed, scores)
                else verdict
                for (_, parsed), verdict in zip(
                    sealed, self._verdicts(sealed, settled=settled), strict=True
                )
            ]
        return [
            item for item, verdict in zip(sealed, verdicts, strict=True)
            if verdict is Verdict.VALID
        ]  # fmt: skip

    def _verdicts(self, sealed: list[tuple[str, Envelope]], *, settled: bool) -> list[Verdict]:
        judge = self._replica.judge
        return [
            judge(
                key,
                parsed.epoch,
                parsed.asof,
                parsed.tags,
                settled=settled,
                swapped=bool(parsed.flags & _SWAPPED),
            )
            for key, parsed in sealed
        ]

    def _newer(self, parsed: Envelope, scores: dict[bytes, int]) -> bool:
        replica = self._replica
        return replica.own_epoch(parsed.epoch, parsed.asof) == replica.epoch and all(
            scores.get(digest(tag), 0) <= parsed.asof for tag in parsed.tags
        )

    def _entry(self, key: str, parsed: Envelope, seen: int, now: float) -> StoredEntry:
        replica, flags, epoch = self._replica, parsed.flags, parsed.epoch
        ahead = replica.server_ahead
        window = 0.0
        fresh_until = (parsed.fresh_until - ahead) / 1000
        dead_at = (parsed.dead_at - ahead) / 1000
        if flags & _SLIDING:
            window = (parsed.dead_at - parsed.created) / 1000
            fresh_until = dead_at = now + window
        elif fresh_until == dead_at and dead_at < now + _LEAST_LEFT:
            # The server ends it, and has not yet; its clock may seem to be behind.
            fresh_until = dead_at = now + _LEAST_LEFT
        entry = StoredEntry(
            key,
            None,
            parsed.asof,
            epoch if epoch == replica.epoch else replica.own_epoch(epoch, parsed.asof),
            parsed.tags,
            (parsed.created - ahead) / 1000,
            fresh_until,
            dead_at,
            rare_of(parsed.cost / 1_000_000, window, parsed.etag),
            seen,
            parsed.type_id,
            1,
            bool(flags & _NO_EXPIRY),
            parsed.codec == COUNTER_CODE,
        )
        replica.soften(entry)
        return entry

    # -- headers -----------------------------------------------------------------------------

    async def _probe(self, keys: Sequence[str]) -> dict[str, Entry]:
        found: dict[str, Entry] = {}
        now = self.time()
        for at in range(0, len(keys), PAGE):
            page = keys[at : at + PAGE]
            sealed = [
                (key, head)
                for key, head in zip(page, await self._heads(page), strict=True)
                if head is not None and not head.tombstone and self._sealing.accepts(head)
            ]
            for key, head in await self._sift(sealed):
                entry = self._entry(key, head, 0, now)
                if now < entry.fresh_until:
                    found[key] = entry
        await self._date_sliding([entry for entry in found.values() if entry.more.window])
        return found

    @abstractmethod
    async def _heads(self, keys: Sequence[str]) -> list[Envelope | None]:
        """The headers of several values."""

    @abstractmethod
    async def _date_sliding(self, entries: Sequence[Entry]) -> None:
        """Find out when sliding entries end: the header does not say."""

    # -- removing ----------------------------------------------------------------------------

    async def _invalidate_and_remove(self, tags: Sequence[str], keys: Sequence[str]) -> list[bool]:
        _, heads = await self.clock.invalidate(tags, keys)
        had = []
        for head in heads:
            parsed = envelope.parse_head(head)
            had.append(
                parsed is not None
                and not parsed.tombstone
                and (parsed.sliding or parsed.fresh_until > self._writes.now())
                and self._replica.was_valid(parsed.epoch, parsed.asof, parsed.tags)
            )
        return had
