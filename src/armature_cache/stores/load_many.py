"""One call that wants the values of several keys, of which some may have to be loaded."""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, TypeVar, cast

from armature_cache import events
from armature_cache._missing import MISSING, UNSET, Missing
from armature_cache._runtime.base import Overdue
from armature_cache.claims import Holder, version_of
from armature_cache.errors import BackendError, CodecError, ConfigError, PartialLoadError
from armature_cache.flight import Flight
from armature_cache.load_context import LoadContext, within
from armature_cache.loading import Batch, LeftOut, Outcome, Outcomes
from armature_cache.stores.load import Load
from armature_cache.stores.loads import LoadOptions, Loads, postpone

if TYPE_CHECKING:
    from armature_cache.entry import Entry
    from armature_cache.stores.draft import Draft
    from armature_cache.stores.single import SingleMethods

T = TypeVar("T")

Loader = Callable[[list[str]], Mapping[str, T] | Awaitable[Mapping[str, T]]]
Answers = dict[str, object]
Errors = dict[str, Exception]


class LoadMany(Loads):
    """One call of `get_or_set_many`, as a whole or in two steps: `look`, and `load` for the rest.

    Where keys are asked for by several callers, `apart`, a value that cannot be stored is the
    affair of its key alone.
    """

    __slots__ = ("_apart", "_loader", "_missing", "_raised", "_tags_of")

    def __init__(
        self,
        store: SingleMethods,
        loader: Loader[object],
        options: LoadOptions,
        tags_of: Callable[[str], tuple[str, ...]],
        *,
        strong: bool,
        apart: bool = False,
    ) -> None:
        super().__init__(store, options, strong=strong)
        self._apart = apart
        self._loader = loader
        self._tags_of = tags_of
        self._raised: Exception | None = None
        self._missing: dict[str, Entry | None] = {}

    async def values(self, keys: Sequence[str]) -> Answers:
        """The values of those keys that have one; raises what stood in the way of others."""
        values = await self.look(keys)
        loaded, errors = await self.load()
        values |= loaded
        if not errors:
            return values
        raised = self._raised
        if raised is not None and all(error is raised for error in errors.values()):
            raise raised
        raise PartialLoadError(
            f"{len(errors)} of {len(keys)} keys could not be loaded, {next(iter(errors))!r} for "
            f"one: {next(iter(errors.values()))!r}; the others are in `values`",
            errors=errors,
            values=values,
        )

    async def look(self, keys: Sequence[str]) -> Answers:
        """The values that need no load, or none to wait for."""
        entries = await self._entries(keys)
        now, swr = self._store.time(), self._policy.stale_while_revalidate
        rests = self._store._flights.rests
        values: Answers = {}
        due: dict[str, Entry | None] = {}
        for key in keys:
            entry = entries.get(key)
            path = self._store.path + key
            if entry is not None and now < entry.fresh_until:
                values[key] = entry.value
                if self._is_due(path, entry, now):
                    due[key] = entry
            elif entry is not None and entry.stale_for(now) < swr:
                values[key] = entry.value
                self._note_stale(path, "renewing")
                if not rests.holds(path, now):
                    due[key] = entry
            elif self._stale_enough(entry, now) is not None and rests.holds(path, now):
                values[key] = entry.value if entry is not None else None
                self._note_stale(path, "waiting")
            else:
                self._missing[key] = entry
                self._tell(events.Miss(path))
        if due:
            self._renew(due)
        return values

    async def load(self) -> tuple[Answers, Errors]:
        """The values of the keys that `look` did not find, and why others have none."""
        return await self._loaded(self._missing) if self._missing else ({}, {})

    async def _entries(self, keys: Sequence[str]) -> dict[str, Entry]:
        store, want = self._store, self._options.want
        entries: dict[str, Entry] = {}
        if not self._strong:
            for key in keys:
                entry = store._peek(key)
                if entry is not None and store._suits(entry, want):
                    entries[key] = entry
        rest = [key for key in keys if key not in entries]
        if rest:
            entries |= await self._fetch_all(rest, stale=self._policy.keeps_for > 0)
        return entries

    # -- waiting ------------------------------------------------------------------------------

    async def _loaded(self, missing: Mapping[str, Entry | None]) -> tuple[Answers, Errors]:
        """The values of keys that are not there, loaded by this call or by others."""
        store = self._store
        now = store.time()
        stale = {key: self._stale_enough(entry, now) for key, entry in missing.items()}
        patience = self._until(with_stale=all(stale.values()))
        batch = self._board(missing, apart=patience is not None)
        left = [key for key in missing if store.path + key not in batch.flights]

        async def own() -> Outcomes[object]:
            try:
                return await batch.shared.join(None if patience is None else patience())
            except Overdue:
                soft = all(stale.values())
                return {path: self._too_slow(path, soft=soft) for path in batch.flights}

        async def other(key: str) -> Outcomes[object]:
            load = _LoadOne(store, key, self._loader, self._options_of(key), strong=self._strong)
            try:
                return {store.path + key: Outcome(await load._loaded(missing[key]))}
            except LeftOut:
                return {}

        works = [own()] if batch.flights else []
        try:
            results = await store.runtime.gather([*works, *map(other, left)])
        finally:
            store._flights.disembark(batch)
        outcomes: Outcomes[object] = {}
        if works and isinstance(results[0], Exception):
            raise results[0]
        for key, result in zip(left, results[len(works) :], strict=True):
            if isinstance(result, Exception):
                outcomes[store.path + key] = result
        for result in results:
            if not isinstance(result, Exception):
                outcomes |= result
        return await self._answers(stale, outcomes)

    async def _answers(
        self, stale: Mapping[str, Entry | None], outcomes: Outcomes[object]
    ) -> tuple[Answers, Errors]:
        """The values, with what stands in for failed loads, and errors where nothing does."""
        values: Answers = {}
        errors: Errors = {}
        for key, old in stale.items():
            path = self._store.path + key
            outcome = outcomes.get(path)
            if isinstance(outcome, Outcome):
                values[key] = outcome.value
            elif outcome is not None:
                instead = await self._instead(path, old, outcome)
                if instead is MISSING:
                    errors[key] = outcome
                else:
                    values[key] = instead
        return values, errors

    async def _instead(self, path: str, old: Entry | None, error: Exception) -> object | Missing:
        if not self._policy.forgives(error):
            return MISSING
        if old is not None and await self._stands(path, old):
            self._note_stale(path, "error")
            return old.value
        return MISSING if self._policy.fallback is UNSET else self._policy.fallback

    # -- loading ------------------------------------------------------------------------------

    def _options_of(self, key: str) -> LoadOptions:
        return self._options._replace(tags=self._tags_of(key))

    def _board(self, wanted: Mapping[str, Entry | None], *, apart: bool) -> Batch[object]:
        store = self._store
        tags = {store.path + key: store._tag_paths(self._tags_of(key)) for key in wanted}
        return store._flights.board(tags, lambda batch: self._work(batch, wanted), apart=apart)

    def _renew(self, due: Mapping[str, Entry | None]) -> None:
        """Load in the background; the entries serve meanwhile."""
        batch = self._board(due, apart=True)
        for path, flight in batch.flights.items():
            flight.launched = True
            entry = due[path.removeprefix(self._store.path)]
            if entry is not None:
                postpone(entry)
        if batch.flights and batch.shared.launch():
            self._store.counters.renewals += len(batch.flights)
        self._store._flights.disembark(batch)

    async def _work(
        self, batch: Batch[object], known: Mapping[str, Entry | None]
    ) -> Outcomes[object]:
        store = self._store
        flights = {path.removeprefix(store.path): flight for path, flight in batch.flights.items()}
        nonce, outcomes, elsewhere = await self._claim(flights, known)
        mine = {
            key: flight for key, flight in flights.items()
            if flight.key not in outcomes and key not in elsewhere
        }  # fmt: skip
        if mine:
            outcomes |= await self._load(mine, nonce)
        works = [self._load_one(key, flights[key], known[key]) for key in elsewhere]
        for key, result in zip(elsewhere, await store.runtime.gather(works), strict=True):
            if not isinstance(result, LeftOut):
                path = flights[key].key
                outcomes[path] = result if isinstance(result, Exception) else Outcome(result)
        return outcomes

    async def _load_one(self, key: str, flight: Flight[object], entry: Entry | None) -> object:
        options = self._options_of(key)
        load = _LoadOne(self._store, key, self._loader, options, strong=self._strong)
        return await load.work(flight, entry)

    async def _claim(
        self, flights: Mapping[str, Flight[object]], known: Mapping[str, Entry | None]
    ) -> tuple[str, Outcomes[object], list[str]]:
        """Claim the loads: the claims' nonce, what was stored meanwhile, what others load."""
        store, life = self._store, self._policy.lock_timeout
        if not life:
            return "", {}, []
        mine = Holder(secrets.token_hex(8), *store.clock.replica.stamp())
        try:
            return await self._claimed(flights, known, mine)
        except BackendError as error:
            store._failed("loads could not be claimed", error)
            return "", {}, []
        except BaseException:  # who is cancelled may have been given the claims all the same
            await self._release(list(flights), mine.nonce)
            raise

    async def _claimed(
        self,
        flights: Mapping[str, Flight[object]],
        known: Mapping[str, Entry | None],
        mine: Holder,
    ) -> tuple[str, Outcomes[object], list[str]]:
        store = self._store
        claims = await store._claim(list(flights), mine, self._policy.lock_timeout)
        newer, held, elsewhere = [], set[str](), []
        for (key, flight), claim in zip(flights.items(), claims, strict=True):
            if claim.stored.is_newer(version_of(known[key])):
                newer.append(key)
            if claim.holder.nonce == mine.nonce:
                held.add(key)
            elif not await self._is_doomed(flight.key, flight.tags, claim.holder):
                elsewhere.append(key)
        generation = store.clock.replica.generation
        found = await self._fetch_all(newer) if newer else {}
        for key, entry in found.items():
            flights[key].knew, flights[key].found = generation, entry
        await self._release([key for key in found if key in held], mine.nonce)
        outcomes: Outcomes[object] = {
            flights[key].key: Outcome(entry.value) for key, entry in found.items()
        }
        return mine.nonce, outcomes, [key for key in elsewhere if key not in found]

    async def _load(self, flights: Mapping[str, Flight[object]], nonce: str) -> Outcomes[object]:
        """The loader's values for keys that nobody else loads, stored where they may be."""
        store = self._store
        unreleased = set(flights)
        try:
            stamps = await store._stamps({one.key: one.tags for one in flights.values()})
            began = store.time()
            for flight in flights.values():
                flight.stamp, flight.began = stamps[flight.key], began
            context = LoadContext()
            try:
                with within(context):
                    loaded = await self._called(list(flights))
            except Exception as error:  # noqa: BLE001 - what a loader raises
                self._raised = error
                return self._all_failed(flights, error)
            outcomes, drafts = self._sorted(flights, loaded, context)
            for draft in drafts:
                draft.claim = nonce
            if drafts:
                await self._keep(drafts)
            unreleased -= {draft.key for draft in drafts if not draft.claim}
            return outcomes
        finally:
            await self._release(sorted(unreleased), nonce)

    async def _called(self, keys: list[str]) -> Mapping[str, object]:
        self._store.counters.loads += 1
        return checked_answer(await self._store.runtime.call(lambda: self._loader(keys)), keys)

    def _all_failed(
        self, flights: Mapping[str, Flight[object]], error: Exception
    ) -> Outcomes[object]:
        self._store.counters.load_errors -= len(flights) - 1  # one call, however many keys
        for flight in flights.values():
            self._note_failure(flight.key, error, background=flight.launched)
        return {flight.key: error for flight in flights.values()}

    def _sorted(
        self,
        flights: Mapping[str, Flight[object]],
        loaded: Mapping[str, object],
        context: LoadContext,
    ) -> tuple[Outcomes[object], list[Draft]]:
        """What was loaded, by key's path, and what of it is to be stored."""
        store = self._store
        outcomes: Outcomes[object] = {}
        drafts: list[Draft] = []
        for key, value in loaded.items():
            flight = flights[key]
            if isinstance(value, Exception):
                self._note_failure(flight.key, value, background=flight.launched)
                outcomes[flight.key] = value
                continue
            store._flights.rests.end(flight.key)
            spent = store.time() - flight.began
            self._tell(events.Loaded(flight.key, spent, flight.launched))
            outcomes[flight.key] = Outcome(value)
            if context.skipped or not self._options.keeps(value):
                continue
            assert flight.stamp is not None  # noqa: S101 - set before the loader was called
            try:
                draft = self._draft(
                    key, value, context, stamp=flight.stamp, began=flight.began,
                    tags=self._tags_of(key),
                )  # fmt: skip
            except CodecError as error:
                if not self._apart:
                    raise
                outcomes[flight.key] = error
                continue
            if context.tags:
                flight.late_tags = store._tag_paths(draft.tags)
            outcomes[flight.key] = Outcome(draft.value)
            drafts.append(draft)
        return outcomes, drafts


class _LoadOne(Load[object]):
    """The load of one key by a loader of several."""

    __slots__ = ()

    def __init__(
        self,
        store: SingleMethods,
        key: str,
        loader: Loader[object],
        options: LoadOptions,
        *,
        strong: bool,
    ) -> None:
        super().__init__(store, key, cast("Callable[[], object]", loader), options, strong=strong)

    async def _called(self) -> object:
        loader = cast("Loader[object]", self._loader)
        loaded = await self._store.runtime.call(lambda: loader([self._key]))
        answer = checked_answer(loaded, [self._key])
        if self._key not in answer:
            raise LeftOut
        value = answer[self._key]
        if isinstance(value, Exception):
            raise value
        return value


def checked_answer(loaded: object, keys: Sequence[str]) -> Mapping[str, object]:
    """What a loader of several keys has returned; raises `ConfigError`."""
    if not isinstance(loaded, Mapping):
        raise ConfigError(
            "the loader of several keys returns a mapping of keys to values, not "
            f"{type(loaded).__name__}",
            field="loader",
        )
    asked = frozenset(keys)
    strangers = [key for key in loaded if key not in asked]
    if strangers:
        raise ConfigError(f"the loader returned keys not asked for: {strangers[:3]!r}")
    return loaded
