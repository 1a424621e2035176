"""The operations that are drawn at random, and how often."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final

from tests.torture.events import Closed, Closing, CountBegun, CountEnded, Done, Held
from tests.torture.hands import Hands, began
from tests.torture.space import (
    COUNTERS,
    GROUPS,
    LOCKS,
    OBJECTS,
    PER_SPACE,
    SPACES,
    key_of,
    members,
    tagged,
    tags_of,
    within,
)

Operation = Callable[[Hands], Awaitable[str]]
_LONG: Final = 60.0
_LOCK_LIFE: Final = 5.0


def _object(hands: Hands) -> int:
    """Some objects are asked for much more often than others."""
    return min(hands.rng.randrange(OBJECTS), hands.rng.randrange(OBJECTS))


def _space(hands: Hands) -> int:
    return hands.rng.randrange(len(SPACES))


def _ttl(hands: Hands) -> float | None:
    kind = hands.rng.random()
    if kind < 0.1:
        return hands.rng.uniform(0.01, 0.4)
    return None if kind < 0.15 else _LONG


def _life(ttl: float | None) -> float:
    return _LONG if ttl is None else ttl


async def _get(hands: Hands, *, strong: bool) -> str:
    obj = _object(hands)
    cache, key = hands.place(obj)
    start = began()
    consistency = "strong" if strong else "bounded"
    outcome = await hands.attempt(cache.get(key, consistency=consistency))
    if outcome.said == "acked":
        hands.saw("strong get" if strong else "get", obj, outcome.value, start, strong=strong)
    return outcome.said


async def get(hands: Hands) -> str:
    return await _get(hands, strong=False)


async def get_strong(hands: Hands) -> str:
    return await _get(hands, strong=True)


async def get_many(hands: Hands) -> str:
    space, strong = _space(hands), hands.rng.random() < 0.3
    objects = hands.rng.sample(members(space), 4)
    start = began()
    call = hands.spaces[space].get_many(
        [key_of(obj) for obj in objects], consistency="strong" if strong else "bounded"
    )
    outcome = await hands.attempt(call)
    if outcome.said == "acked":
        for obj in objects:
            hands.saw("get_many", obj, outcome.value.get(key_of(obj)), start, strong=strong)
    return outcome.said


async def get_or_set(hands: Hands) -> str:
    obj, strong = _object(hands), hands.rng.random() < 0.2
    cache, key = hands.place(obj)
    load, ttl = hands.load(obj), _ttl(hands)
    start = began()
    outcome = await hands.attempt(
        cache.get_or_set(
            key, load, tags=tags_of(obj), ttl=ttl, consistency="strong" if strong else "bounded"
        )
    )
    if outcome.said == "acked":
        hands.saw("get_or_set", obj, outcome.value, start, strong=strong)
    return outcome.said


async def refresh(hands: Hands) -> str:
    obj = _object(hands)
    cache, key = hands.place(obj)
    load = hands.load(obj)
    start = began()
    outcome = await hands.attempt(cache.refresh(key, load, tags=tags_of(obj), ttl=_LONG))
    if outcome.said == "acked":
        hands.saw("refresh", obj, outcome.value, start, strong=True)
    return outcome.said


async def get_or_set_many(hands: Hands) -> str:
    space, strong = _space(hands), hands.rng.random() < 0.2
    first = space * PER_SPACE
    group = hands.rng.randrange(GROUPS)
    objects = [obj for obj in members(space) if obj % GROUPS == group]
    slow = hands.rng.choice((0.0, 0.0, 0.01, 0.2))

    async def load(keys: list[str]) -> dict[str, str]:
        numbers = [first + int(key[1:]) for key in keys]
        values = {key_of(obj): hands.value(obj, hands.truth.read(obj)) for obj in numbers}
        await hands.pause(slow)
        return values

    start = began()
    call = hands.spaces[space].get_or_set_many(
        [key_of(obj) for obj in objects],
        hands.cache.loader(load),
        ttl=_LONG,
        consistency="strong" if strong else "bounded",
        tags=[f"g{group}", *(f"o{obj % PER_SPACE}" for obj in objects)],
    )
    outcome = await hands.attempt(call)
    if outcome.said == "acked":
        for obj in objects:
            value = outcome.value.get(key_of(obj))
            hands.saw("get_or_set_many", obj, value, start, strong=strong)
    return outcome.said


async def aside(hands: Hands) -> str:
    """Cache-aside by hand. Where a failing server raises, the set is an acknowledged write."""
    obj = _object(hands)
    cache, key = hands.place(obj)
    start = began()
    outcome = await hands.attempt(cache.get(key))
    if outcome.said != "acked":
        return outcome.said
    hands.saw("get", obj, outcome.value, start, strong=False)
    if outcome.value is not None:
        return "hit"
    value = hands.value(obj, hands.truth.read(obj))
    await hands.pause(hands.rng.choice((0.0, 0.0, 0.005, 0.2)))
    token = hands.journal.token()
    hands.journal.tell(Closing, token, "set after miss", (obj,))
    outcome = await hands.attempt(cache.set(key, value, tags=tags_of(obj), ttl=_ttl(hands)))
    acked = outcome.said == "acked" and hands.strict
    hands.journal.tell(Closed, token, start, "acked" if acked else "unknown")
    return outcome.said


async def set_marked(hands: Hands) -> str:
    obj = _object(hands)
    cache, key = hands.place(obj)
    mark = cache.mark()
    value = hands.value(obj, hands.truth.read(obj))
    await hands.pause(hands.rng.choice((0.0, 0.01, 0.2)))
    call = cache.set(key, value, tags=tags_of(obj), ttl=_LONG, as_of=mark)
    return (await hands.attempt(call)).said


async def set_new(hands: Hands) -> str:
    """Commit, then write through."""
    obj = _object(hands)
    cache, key = hands.place(obj)
    version, ttl = hands.commit(obj), _ttl(hands)
    value = hands.value(obj, version)
    call = cache.set(key, value, tags=tags_of(obj), ttl=ttl, as_of=None)
    return await hands.assert_current("set", {obj: version}, call, _life(ttl))


async def set_known(hands: Hands) -> str:
    """Assert the version that was current a moment ago."""
    obj = _object(hands)
    cache, key = hands.place(obj)
    version = hands.truth.read(obj)
    await hands.pause(hands.rng.choice((0.0, 0.01)))
    value = hands.value(obj, version)
    call = cache.set(key, value, tags=tags_of(obj), ttl=_LONG, as_of=None)
    return await hands.assert_current("set", {obj: version}, call, _LONG)


async def set_many(hands: Hands) -> str:
    space = _space(hands)
    objects = hands.rng.sample(members(space), 3)
    versions = {obj: hands.commit(obj) for obj in objects}
    tags = sorted({tag for obj in objects for tag in tags_of(obj)})
    items = {key_of(obj): hands.value(obj, version) for obj, version in versions.items()}
    call = hands.spaces[space].set_many(items, tags=tags, ttl=_LONG, as_of=None)
    return await hands.assert_current("set_many", versions, call, 0.0)


async def add(hands: Hands) -> str:
    obj = _object(hands)
    cache, key = hands.place(obj)
    version, ttl = hands.truth.read(obj), _ttl(hands)
    call = cache.add(key, hands.value(obj, version), tags=tags_of(obj), ttl=ttl)
    return await hands.assert_current("add", {obj: version}, call, _life(ttl))


async def expire(hands: Hands) -> str:
    obj = _object(hands)
    cache, key = hands.place(obj)
    token = hands.journal.token()
    since = hands.journal.tell(Closing, token, "expire", (obj,))
    outcome = await hands.attempt(cache.expire(key, hands.rng.choice((_LONG, _LONG, 0.2))))
    hands.journal.tell(Closed, token, since, "unknown")
    return outcome.said


async def delete(hands: Hands) -> str:
    obj = _object(hands)
    cache, key = hands.place(obj)
    if hands.rng.random() < 0.8:
        hands.commit(obj)
    return await hands.close("delete", (obj,), cache.delete(key))


async def delete_many(hands: Hands) -> str:
    space = _space(hands)
    objects = hands.rng.sample(members(space), 3)
    for obj in objects:
        hands.commit(obj)
    call = hands.spaces[space].delete_many([key_of(obj) for obj in objects])
    return await hands.close("delete_many", tuple(objects), call)


async def invalidate(hands: Hands) -> str:
    obj = _object(hands)
    space = obj // PER_SPACE
    tag = hands.rng.choice(tags_of(obj))
    objects = tagged(space, [tag])
    for each in objects:
        hands.commit(each)
    return await hands.close("invalidate_tag", objects, hands.spaces[space].invalidate_tag(tag))


async def invalidate_everywhere(hands: Hands) -> str:
    """Wait until no process can serve anything older."""
    obj = _object(hands)
    space = obj // PER_SPACE
    tag = hands.rng.choice(tags_of(obj))
    objects = tagged(space, [tag])
    for each in objects:
        hands.commit(each)
    call = hands.spaces[space].invalidate_tag(tag, wait=True)
    return await hands.close("awaited invalidate_tag", objects, call, "everywhere")


async def soften(hands: Hands) -> str:
    """Invalidate softly: who accepts stale values may still get one."""
    obj = _object(hands)
    space = obj // PER_SPACE
    tag = hands.rng.choice(tags_of(obj))
    objects = tagged(space, [tag])
    for each in objects:
        hands.commit(each)
    call = hands.spaces[space].invalidate_tag(tag, soft=True)
    return await hands.close("soft invalidate_tag", objects, call, "soft")


async def get_or_set_stale(hands: Hands) -> str:
    """A load that meanwhile returns what is stale."""
    obj = _object(hands)
    cache, key = hands.place(obj)
    load, grace = hands.load(obj), hands.rng.choice((0.1, 0.5))
    start = began()
    outcome = await hands.attempt(
        cache.get_or_set(
            key, load, tags=tags_of(obj), ttl=_ttl(hands), stale_while_revalidate=grace
        )
    )
    if outcome.said == "acked":
        hands.saw("get_or_set stale", obj, outcome.value, start, strong=False, grace=grace)
    return outcome.said


async def invalidate_several(hands: Hands) -> str:
    space = _space(hands)
    tags = [f"o{n}" for n in hands.rng.sample(range(PER_SPACE), 3)]
    objects = tagged(space, tags)
    for each in objects:
        hands.commit(each)
    return await hands.close("invalidate_tags", objects, hands.spaces[space].invalidate_tags(tags))


async def _clear(hands: Hands, space: int) -> str:
    objects = within(space)
    for obj in hands.rng.sample(objects, 5):
        hands.commit(obj)
    op = "clear of a namespace" if space else "clear"
    return await hands.close(op, objects, hands.spaces[space].clear())


async def clear(hands: Hands) -> str:
    return await _clear(hands, 0)


async def clear_namespace(hands: Hands) -> str:
    return await _clear(hands, hands.rng.randrange(1, len(SPACES)))


async def _notice(hands: Hands) -> str:
    """Data is being lost: see to it that this process has heard of it before the next window.

    The keys are on all servers.
    """
    keys = [f"{number}:0" for number in range(24)]
    await hands.attempt(hands.counts.get_many(keys, consistency="strong"))
    return "not now"


async def count(hands: Hands) -> str:
    window = hands.truth.window
    if not window:
        return await _notice(hands)
    counter, delta = f"c{hands.rng.randrange(COUNTERS)}", hands.rng.choice((1, 1, 2, 5, -3))
    token = hands.journal.token()
    hands.journal.tell(CountBegun, token, counter, window, delta)
    outcome = await hands.attempt(hands.counts.increment(f"{counter}:{window}", delta))
    total: Any = outcome.value if outcome.said == "acked" else None
    hands.journal.tell(CountEnded, token, total)
    return outcome.said


async def prolong(hands: Hands) -> str:
    """Give a counter another lifetime: its sum stays."""
    window = hands.truth.window
    if not window:
        return await _notice(hands)
    counter = f"c{hands.rng.randrange(COUNTERS)}"
    return (await hands.attempt(hands.counts.expire(f"{counter}:{window}", _LONG * 10))).said


async def lock(hands: Hands) -> str:
    """`add` as a lock. Who does not know what became of a call of his leaves it alone."""
    window = hands.truth.window
    if not window:
        return await _notice(hands)
    name = f"l{hands.rng.randrange(LOCKS)}"
    start = began()
    key = f"{name}:{window}"
    outcome = await hands.attempt(hands.counts.add(key, hands.journal.worker, ttl=_LOCK_LIFE))
    since = began()
    if outcome.said != "acked":
        hands.journal.tell(Held, f"{name}", window, start, since + _LOCK_LIFE * 2, False)
        return outcome.said
    if not outcome.value:
        return "refused"
    await hands.pause(hands.rng.choice((0.0, 0.002, 0.05)))
    until = min(began(), start + _LOCK_LIFE)
    ended = await hands.attempt(hands.counts.delete(key))
    hands.journal.tell(Held, name, window, since, until, True)
    if ended.said != "acked":
        hands.journal.tell(Held, name, window, until, until + _LOCK_LIFE * 2, False)
    return ended.said


_WEIGHTS: Final[dict[Operation, float]] = {
    get: 200, get_strong: 80, get_many: 40, get_or_set: 160, get_or_set_many: 20, aside: 80,
    refresh: 15, set_marked: 30, set_new: 40, set_known: 15, set_many: 8, add: 40, expire: 30,
    get_or_set_stale: 40, delete: 40, delete_many: 8, invalidate: 40, invalidate_several: 8,
    invalidate_everywhere: 10, soften: 20, clear: 3,
    clear_namespace: 6, count: 60, lock: 40, prolong: 10,
}  # fmt: skip


def weights(on_failover: str) -> dict[Operation, float]:
    """How often each is drawn. What is cleared every second cannot outlive a failover."""
    return {**_WEIGHTS, clear: 0.03} if on_failover == "replay" else _WEIGHTS


async def one(hands: Hands, drawn: dict[Operation, float]) -> None:
    """One operation, drawn at random by its weight."""
    (operation,) = hands.rng.choices(list(drawn), list(drawn.values()))
    outcome = await operation(hands)
    hands.journal.tell(Done, operation.__name__, outcome)
