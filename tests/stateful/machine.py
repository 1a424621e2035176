"""The rules that hold for one cache and for several over one store."""

from __future__ import annotations

import asyncio
import math
from typing import Any, Final

import hypothesis.strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule

from armature_cache import CounterError
from tests.stateful.drivers import KEYS, NAMES, TAGS, Driver, path_of, tags_of
from tests.stateful.model import Model, Moment

WHO: Final = st.integers(0, 1)
SPACE: Final = st.integers(0, len(NAMES) - 1)
PICK: Final = st.integers(0, 5)
KEY: Final = st.sampled_from(KEYS)
VALUE: Final = st.one_of(st.integers(-3, 3), st.text(max_size=2), st.just([1, None]))


CHANGES: Final[dict[str, tuple[str, ...]]] = {
    "nothing": (),
    "invalidate": ("invalidate_tag", "t"),
    "delete": ("delete",),
    "set": ("set",),
    "clear": ("clear",),
    "clear inner": ("clear",),
}


class CacheMachine(RuleBasedStateMachine):
    """Each rule does the same to the cache and to the model; reads must agree."""

    shared = False
    faces: tuple[str, ...] = ("async",)
    ttls: tuple[float | None, ...] = (None,)

    def __init__(self) -> None:
        super().__init__()
        self.model = Model(shared=self.shared)
        self.runner = asyncio.Runner() if "async" in self.faces else None
        self.marks: list[tuple[int, Any, Moment]] = []
        self.drivers = self.open()

    def open(self) -> list[Driver]:
        """The caches, all over one store."""
        raise NotImplementedError

    def strong(self) -> dict[str, Any]:
        """What makes a read of this machine exact."""
        return {"consistency": "strong"} if self.shared else {}

    def driver(self, who: int) -> Driver:
        """One of the caches, whose time the model goes by."""
        driver = self.drivers[who % len(self.drivers)]
        self.model.now = driver.time.now
        return driver

    def runner_of(self, number: int) -> asyncio.Runner | None:
        """What drives a cache of the face that it has."""
        return self.runner if self.faces[number % len(self.faces)] == "async" else None

    def teardown(self) -> None:
        for driver in self.drivers:
            driver.close()
        if self.runner is not None:
            self.runner.close()

    def ttl(self, pick: int) -> float | None:
        """A lifetime of those that this machine uses."""
        return self.ttls[pick % len(self.ttls)]

    def lost_leases(self, driver: Driver) -> None:
        """The context of this driver has invalidated something."""
        driver.leases.clear()

    # -- reads -------------------------------------------------------------------------------

    def expect(self, driver: Driver, space: int, key: str, found: object) -> None:
        """A read of this value, with what it does to leases."""
        path = path_of(space, key)
        item = self.model.alive(path)
        assert found == ("nothing" if item is None else item.value)
        if item is None:
            driver.leases[path] = self.model.moment()
        else:
            driver.leases.pop(path, None)

    @rule(who=WHO, space=SPACE, key=KEY)
    def get(self, who: int, space: int, key: str) -> None:
        driver = self.driver(who)
        self.expect(driver, space, key, driver(space, "get", key, "nothing", **self.strong()))

    @rule(who=WHO, space=SPACE)
    def get_many(self, who: int, space: int) -> None:
        driver = self.driver(who)
        found = driver(space, "get_many", KEYS, **self.strong())
        for key in KEYS:
            self.expect(driver, space, key, found.get(key, "nothing"))

    @rule(who=WHO, space=SPACE, key=KEY)
    def exists_and_ttl(self, who: int, space: int, key: str) -> None:
        driver = self.driver(who)
        item = self.model.alive(path_of(space, key))
        assert driver(space, "exists", key, **self.strong()) == (item is not None)
        left = driver(space, "ttl", key, **self.strong())
        if item is None:
            assert left is None
        elif math.isinf(item.dead_at) or not self.shared:
            assert left == item.dead_at - self.model.now

    @rule(who=WHO, space=SPACE)
    def listings(self, who: int, space: int) -> None:
        driver = self.driver(who)
        self.expect(driver, space, "a", driver(space, "get", "a", "nothing", **self.strong()))
        alive = [key for key in KEYS if self.model.alive(path_of(space, key))]
        assert [key for key in driver.scan(space) if "\0" not in key] == alive
        tagged = _by_tag(self.model, space, alive)
        assert driver(space, "list_tags") == sorted(tagged)
        for tag in ("t", "u"):
            assert driver(space, "get_keys_by_tag", tag) == tagged.get(tag, [])

    # -- writes ------------------------------------------------------------------------------

    @rule(who=WHO, space=SPACE, key=KEY, value=VALUE, pick=PICK, leased=st.booleans())
    def set(  # noqa: PLR0917 - hypothesis fills them in
        self, who: int, space: int, key: str, value: object, pick: int, leased: bool
    ) -> None:
        driver, path, tags, ttl = self.driver(who), path_of(space, key), TAGS[key], self.ttl(pick)
        options = {} if leased else {"as_of": None}
        driver(space, "set", key, value, tags=tags, ttl=ttl, **options)
        lease = driver.leases.pop(path, None)
        full, end = tags_of(space, tags), self.model.end(ttl)
        if leased and lease is not None:
            self.model.offer(path, value, full, end, lease)
        else:
            self.model.put(path, value, full, end)

    @rule(who=WHO)
    def mark(self, who: int) -> None:
        driver = self.driver(who)
        if self.shared:
            driver(0, "get", "nowhere", **self.strong())
        self.marks = [*self.marks[-3:], (who, driver.spaces[0].mark(), self.model.moment())]

    @rule(space=SPACE, key=KEY, value=VALUE, pick=PICK)
    def set_as_of(self, space: int, key: str, value: object, pick: int) -> None:
        path = path_of(space, key)
        if not self.marks or (self.shared and self.model.alive(path)):
            return  # where nothing was invalidated, the source gives what is cached
        who, mark, moment = self.marks[pick % len(self.marks)]
        driver, ttl = self.driver(who), self.ttl(pick)
        driver(space, "set", key, value, tags=TAGS[key], ttl=ttl, as_of=mark)
        driver.leases.pop(path, None)
        full = tags_of(space, TAGS[key])
        self.model.fill(path, value, full, self.model.end(ttl), moment)

    @rule(who=WHO, space=SPACE, key=KEY, value=VALUE, pick=PICK)
    def add(self, who: int, space: int, key: str, value: object, pick: int) -> None:
        driver, path, ttl = self.driver(who), path_of(space, key), self.ttl(pick)
        added = driver(space, "add", key, value, tags=TAGS[key], ttl=ttl)
        driver.leases.pop(path, None)
        assert added == (self.model.alive(path) is None)
        if added:
            self.model.put(path, value, tags_of(space, TAGS[key]), self.model.end(ttl))

    @rule(who=WHO, space=SPACE, key=KEY, delta=st.integers(-3, 3), pick=PICK)
    def increment(self, who: int, space: int, key: str, delta: int, pick: int) -> None:
        driver, path, ttl = self.driver(who), path_of(space, key), self.ttl(pick)
        driver(space, "exists", key, **self.strong())  # else it may add to what was cleared
        try:
            total = driver(space, "increment", key, delta, ttl=ttl)
        except CounterError:
            total = None
        driver.leases.pop(path, None)
        full, end = tags_of(space, ()), self.model.end(ttl)
        assert total == self.model.increment(path, delta, full, end)

    @rule(who=WHO, space=SPACE, key=KEY)
    def delete(self, who: int, space: int, key: str) -> None:
        driver = self.driver(who)
        path = path_of(space, key)
        had = driver(space, "delete", key)
        driver.leases.pop(path, None)
        assert had == self.model.delete(path)

    @rule(who=WHO, space=SPACE, key=KEY, pick=PICK)
    def expire(self, who: int, space: int, key: str, pick: int) -> None:
        ttl = self.ttl(pick)
        done = self.driver(who)(space, "expire", key, ttl)
        assert done == self.model.expire(path_of(space, key), self.model.end(ttl))

    @rule(who=WHO, space=SPACE, tags=st.frozensets(st.sampled_from(("t", "u", "v")), min_size=1))
    def invalidate(self, who: int, space: int, tags: frozenset[str]) -> None:
        driver = self.driver(who)
        driver(space, "invalidate_tags", sorted(tags))
        self.lost_leases(driver)
        self.model.invalidate(f"{NAMES[space]}/{tag}" for tag in tags)

    @rule(who=WHO, space=SPACE, tag=st.sampled_from(("t", "u", "v")))
    def soften(self, who: int, space: int, tag: str) -> None:
        driver = self.driver(who)
        driver(space, "invalidate_tag", tag, soft=True)
        self.lost_leases(driver)
        self.model.soften(f"{NAMES[space]}/{tag}")

    @rule(who=WHO, space=SPACE)
    def clear(self, who: int, space: int) -> None:
        driver = self.driver(who)
        driver(space, "clear")
        self.lost_leases(driver)
        if space:
            self.model.invalidate(["inner/"])
        else:
            self.model.clear()

    # -- loads -------------------------------------------------------------------------------

    @rule(who=WHO, space=SPACE, key=KEY, grace=st.sampled_from((3.0, 45.0)))
    def failing_load(self, who: int, space: int, key: str, grace: float) -> None:
        """What was invalidated softly is still something to fall back on, for a while."""
        driver, path = self.driver(who), path_of(space, key)

        def fail() -> object:
            raise OSError

        options = {"stale_for": grace, "retry_after": 0, "ttl": self.ttls[0], **self.strong()}
        try:
            found = driver(space, "get_or_set", key, fail, tags=TAGS[key], **options)
        except OSError:
            found = "failed"
        item = self.model.alive(path)
        if item is not None:
            assert found == item.value
        else:
            assert found in self.model.fallbacks(path, grace, "failed")

    @rule(who=WHO, space=SPACE, key=KEY, value=VALUE, change=st.sampled_from(list(CHANGES)), by=WHO)
    def get_or_set(  # noqa: PLR0917 - hypothesis fills them in
        self, who: int, space: int, key: str, value: object, change: str, by: int
    ) -> None:
        """A load during which something happens, through this cache or another."""
        driver, other, path = self.driver(who), self.driver(by), path_of(space, key)
        held, moment, ttl = self.model.alive(path), self.model.moment(), self.ttls[0]
        loaded: list[bool] = []

        def meanwhile() -> Any:
            loaded.append(True)
            inside = driver is other or (driver.awaited and other.awaited)
            return _change(other, space, key, change, inside=inside)

        load = driver.loader(value, meanwhile)
        options = {"tags": TAGS[key], "ttl": ttl, **self.strong()}
        found = driver(space, "get_or_set", key, load, **options)
        assert bool(loaded) == (held is None)
        if held is not None:
            assert found == held.value
            return
        assert found == value
        self._changed(space, key, change)
        for each in self.drivers:
            # Who has not heard of the change may find it valid.
            each.seen.append({**(each.seen[-1] if each.seen else {}), path: value})
        if loaded and not (driver.awaited and other.awaited):
            self._withdrawn(other, path, change)
        self.model.fill(path, value, tags_of(space, TAGS[key]), self.model.end(ttl), moment)

    def _withdrawn(self, driver: Driver, path: str, change: str) -> None:
        """What happens outside of a task happens in the context of who does it."""
        if change in {"set", "delete"}:
            driver.leases.pop(path, None)
        elif change != "nothing":
            self.lost_leases(driver)

    def _changed(self, space: int, key: str, change: str) -> None:
        path, full = path_of(space, key), tags_of(space, TAGS[key])
        match change:
            case "invalidate":
                self.model.invalidate([f"{NAMES[space]}/t"])
            case "delete":
                self.model.delete(path)
            case "set":
                self.model.put(path, "meanwhile", full, math.inf)
            case "clear":
                self.model.clear()
            case "clear inner":
                self.model.invalidate(["inner/"])
            case _:
                pass


def _change(other: Driver, space: int, key: str, change: str, *, inside: bool) -> Any:
    """What happens during a load; `inside` means on the loop or in the context of that driver."""
    if change == "nothing":
        return None
    name, *arguments = CHANGES[change]
    where = {"clear": 0, "clear inner": 1}.get(change, space)
    if name in {"delete", "set"}:
        arguments = [key, "meanwhile"][: 1 + (name == "set")]
    options = {"tags": TAGS[key], "ttl": None, "as_of": None} if name == "set" else {}
    if inside:
        return getattr(other.spaces[where], name)(*arguments, **options)
    return other(where, name, *arguments, **options)


def _by_tag(model: Model, space: int, alive: list[str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for key in alive:
        for tag in model.items[path_of(space, key)].tags:
            if name := tag.partition("/")[2]:
                found.setdefault(name, []).append(key)
    return found
