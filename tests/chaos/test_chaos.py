"""What chaos does to a store, on both faces, and that it is the same every time."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest

from armature_cache import (
    BackendError,
    BackendTimeout,
    BackendUnavailable,
    CacheConfig,
    ConfigError,
    InMemoryCache,
    InvalidationError,
    JsonCodec,
    RedisCache,
    TaggedCache,
    TieredCache,
    TieredCacheConfig,
)
from armature_cache.testing import (
    Chaos,
    ChaosCache,
    Corrupt,
    Delay,
    Fail,
    FakeTime,
    Garbage,
    Hang,
    Lose,
    Ok,
    RedisServer,
    in_chaos,
)
from tests.contract.faces import Face, eventually

FACES = ("async", "sync")
Wrap = Callable[..., Face]


def faced(core: Any, face: str) -> Face:
    return Face(core if face == "async" else core.sync())


@pytest.fixture(params=FACES)
def face(request: pytest.FixtureRequest) -> str:
    kind: str = request.param
    return kind


@pytest.fixture
def chaos() -> Chaos:
    return Chaos(7)


@pytest.fixture
async def memory(chaos: Chaos, face: str):
    """A tagged cache over a chaotic one in memory."""
    core = TaggedCache(ChaosCache(InMemoryCache(time=FakeTime()), chaos))
    cache = faced(core, face)
    yield cache
    chaos.calm()
    await cache.close()


@pytest.fixture
async def tiers(chaos: Chaos, face: str, valkey: RedisServer, namespace: str):
    """A tagged cache of two tiers, over a chaotic server."""
    l2 = RedisCache(CacheConfig.redis(valkey.url, namespace=namespace, hints=False))
    patient = TieredCacheConfig(breaker_failures=1000)
    core = TaggedCache(TieredCache(InMemoryCache(), ChaosCache(l2, chaos), patient))
    cache = faced(core, face)
    yield cache
    chaos.calm()
    await cache.close()


# -- scripts -------------------------------------------------------------------------------------


async def test_a_script_says_what_happens(memory: Face, chaos: Chaos):
    await memory.set("k", 1)
    chaos.script("fetch", [Ok(), Fail(), Fail(BackendTimeout), Lose(), Fail(ValueError("mine"))])
    assert await memory.get("k") == 1
    with pytest.raises(BackendUnavailable, match="chaos"):
        await memory.get("k")
    with pytest.raises(BackendTimeout):
        await memory.get("k")
    assert await memory.get("k") is None
    with pytest.raises(ValueError, match="mine"):
        await memory.get("k")
    assert await memory.get("k") == 1
    assert chaos.counts["fetch", "failed"] == 3
    assert chaos.count("lost") == 1
    assert "3 failed" in repr(chaos)


async def test_a_script_of_a_key_is_for_that_key(memory: Face, chaos: Chaos):
    await memory.set_many({"a": 1, "b": 2})
    chaos.script("fetch", iter([Lose()]), key="b")
    assert await memory.get("a") == 1
    assert await memory.get_many(["a", "b"]) == {}
    assert await memory.get_many(["a", "b"]) == {"a": 1, "b": 2}


async def test_a_load_survives_a_failing_store(memory: Face, chaos: Chaos):
    for operation in ("fetch", "claim", "fill", "release"):
        chaos.script(operation, [Fail()])
        assert await memory.get_or_set(operation, lambda: 1) == 1
        assert await memory.get_or_set("none", lambda: None, cache_none=False) is None
        assert chaos.counts[operation, "failed"] == 1
    assert await memory.get("fill") is None


async def test_syncs_of_the_clock_fail(memory: Face, chaos: Chaos):
    await memory.set("k", 1)
    chaos.script("sync", [Fail(), Fail(late=True), Fail()])
    for _ in range(2):
        with pytest.raises(BackendUnavailable, match="sync"):
            await memory.exists("k", consistency="strong")
    core: Any = getattr(memory.store, "_core", memory.store)
    assert await core._catch_up(strong=True) is False, "loads go on without news of the clock"
    assert chaos.counts["sync", "failed"] == 3
    assert memory.stats().errors == 1
    assert await memory.exists("k", consistency="strong") is True


async def test_a_delay_lets_fake_time_pass(face: str):
    time = FakeTime()
    chaos = Chaos(time=time)
    cache = faced(ChaosCache(InMemoryCache(time=time), chaos), face)
    await cache.set("k", 1, ttl=10)
    chaos.script("fetch", [Delay(4, late=True), Delay(5, Ok()), Delay(2, then=Fail())])
    assert await cache.get("k") == 1
    assert await cache.ttl("k") == 6
    assert await cache.get("k") == 1
    with pytest.raises(BackendError):
        await cache.get("k")
    assert await cache.get("k") is None
    assert chaos.count("delayed", "fetch") == 3


async def test_a_delay_takes_time(memory: Face, chaos: Chaos):
    chaos.script("ping", [Delay(0.05)])
    began = asyncio.get_running_loop().time()
    await memory.ping()
    assert asyncio.get_running_loop().time() - began >= 0.05


@pytest.mark.parametrize("face", ["async"], indirect=True)
async def test_what_hangs_can_be_released(memory: Face, chaos: Chaos):
    await memory.set("k", 1)
    chaos.script("fetch", [Hang()])
    read = asyncio.ensure_future(memory.store.get("k"))

    async def hangs() -> bool:
        return chaos.hanging == 1

    await eventually(hangs, "a hanging read")
    assert not read.done()
    assert chaos.release() == 1
    assert await read == 1
    assert chaos.hanging == 0


@pytest.mark.parametrize("face", ["sync"], indirect=True)
async def test_a_thread_that_hangs_can_be_released(memory: Face, chaos: Chaos):
    await memory.set("k", 1)
    chaos.script("fetch", [Hang()])
    got: list[object] = []
    thread = threading.Thread(target=lambda: got.append(memory.store.get("k")))
    thread.start()

    async def hangs() -> bool:
        return chaos.hanging == 1

    await eventually(hangs, "a hanging thread")
    chaos.calm()
    thread.join(10)
    assert got == [1]


@pytest.mark.parametrize("face", ["async"], indirect=True)
async def test_what_hangs_can_be_cancelled(memory: Face, chaos: Chaos):
    chaos.script("fetch", [Hang()])
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.02):
            await memory.get("k")
    assert chaos.hanging == 0


async def test_what_hangs_can_give_up(memory: Face, chaos: Chaos):
    chaos.script("fetch", [Hang(timeout=0.01)])
    with pytest.raises(BackendTimeout, match="hung"):
        await memory.get("k")
    assert chaos.hanging == 0


# -- what must hold ------------------------------------------------------------------------------


@pytest.mark.parametrize("late", [False, True], ids=["early", "late"])
async def test_a_failed_invalidation_is_dead_here_and_sent_again(
    tiers: Face, chaos: Chaos, late: bool
):
    cache = tiers
    await cache.set("k", 1, tags="t")
    await cache.set("l", 1)
    assert await cache.get_many(["k", "l"]) == {"k": 1, "l": 1}
    for operation in ("invalidate", "delete", "fetch", "set"):
        chaos.script(operation, [Fail(late=late)])
    with pytest.raises(InvalidationError) as caught:
        await cache.invalidate_tag("t")
    assert caught.value.tags == ("t",)
    assert isinstance(caught.value.__cause__, BackendUnavailable)
    with pytest.raises(InvalidationError) as caught:
        await cache.delete("l")
    assert caught.value.keys == ("l",)
    assert cache.stats().pending_invalidations == (1 if late else 2), "a late failure is a contact"
    found = await cache.get_or_set_many(["k", "l"], lambda keys: dict.fromkeys(keys, "new"))
    assert found == {"k": "new", "l": "new"}, "the read fails, so both are loaded"
    assert await cache.get_many(["k", "l"]) == {"k": "new", "l": "new"} or late
    with pytest.raises(BackendError):
        await cache.set("m", 1)
    assert await cache.get("m") is None
    assert cache.stats().pending_invalidations == 0


async def test_a_failed_set_counts_as_deleted(tiers: Face, chaos: Chaos):
    for operation, call in (
        ("set", lambda: tiers.set("k", 2, as_of=None)),
        ("expire", lambda: tiers.expire("k", 600)),
    ):
        for late in (False, True):
            await tiers.set("k", 1)
            assert await tiers.get("k") == 1
            chaos.script(operation, [Fail(late=late)])  # type: ignore[arg-type]
            with pytest.raises(BackendError):
                await call()
            assert await tiers.get("k") is None
    chaos.script("add", [Fail(late=True)])
    with pytest.raises(BackendError):
        await tiers.add("k", 3)
    assert await tiers.get("k") is None


async def test_lost_writes_are_acknowledged(memory: Face, chaos: Chaos):
    await memory.set("k", "old", tags="t")
    chaos.set("set", "fill", "add", "expire", "increment", "delete", "invalidate", "clear", lose=1)
    await memory.set("k", "new")
    assert await memory.get_or_set("fill", lambda: 1) == 1
    assert await memory.add("add", 1) is True
    assert await memory.expire("k", 1) is True
    assert await memory.increment("n", 5) == 5
    assert await memory.delete("k") is False
    await memory.invalidate_tag("t")
    await memory.clear()
    chaos.calm()
    assert await memory.get_many(["k", "fill", "add", "n"]) == {"k": "old"}
    assert await memory.ttl("k") > 1


async def test_lost_claims_load_twice(chaos: Chaos, face: str):
    store = InMemoryCache()
    one, other = (faced(ChaosCache(store, chaos), face) for _ in range(2))
    loads: list[int] = []

    async def inner() -> int:
        loads.append(1)
        return 1

    async def outer() -> int:
        loads.append(2)
        return int(await other.get_or_set("k", other.loader(inner), lock_timeout=60))

    chaos.script("claim", [Lose()])
    assert await one.get_or_set("k", one.loader(outer)) == 1
    assert loads == [2, 1]


async def test_corrupt_bytes_are_a_miss(
    chaos: Chaos, face: str, valkey: RedisServer, namespace: str
):
    config = CacheConfig.redis(valkey.url, namespace=namespace, hints=False)
    cache = faced(TaggedCache(ChaosCache(RedisCache(config), chaos)), face)
    for place in range(64):
        key = f"k{place}"
        await cache.set(key, ["a value", place], tags="t")
    chaos.set("fetch", corrupt=1)
    for place in range(64):
        assert await cache.get(f"k{place}") is None
    assert cache.stats().undecodable == 64 == chaos.count("corrupted")
    assert await cache.get_or_set("k0", lambda: "loaded") == "loaded"
    chaos.calm()
    assert await cache.get("k1") == ["a value", 1]
    await cache.close()


async def test_corrupt_bytes_of_a_part_are_a_miss(
    chaos: Chaos, face: str, valkey: RedisServer, namespace: str
):
    config = CacheConfig.redis(valkey.url, namespace=namespace, hints=False)
    core = ChaosCache(RedisCache(config, codec=JsonCodec()).namespace("part"), chaos)
    cache = faced(core, face)
    await cache.set("k", 1)
    chaos.script("fetch", [Corrupt()])
    assert await cache.get("k") is None
    assert cache.stats().undecodable == 1
    assert await cache.get("k") == 1
    await cache.close()


async def test_a_corrupt_object_is_garbage_or_a_miss(memory: Face, chaos: Chaos):
    await memory.set("k", 1)
    chaos.script("fetch", [Corrupt(), Corrupt()])
    assert isinstance(await memory.get("k"), Garbage)
    assert await memory.get("k", "default", type=int) == "default"
    assert await memory.get("k") == 1
    assert memory.stats().undecodable == 1


# -- rates ---------------------------------------------------------------------------------------


def _outcomes(chaos: Chaos, names: list[str], threads: int) -> dict[str, list[object]]:
    """What becomes of 20 reads of each key, by threads that meet the keys in any order."""
    got: dict[str, list[object]] = {name: [] for name in names}
    lock = threading.Lock()

    def run(mine: list[str]) -> None:
        for _ in range(20):
            for name in mine:
                plan = chaos.plan("fetch", [name])
                kind = (
                    plan.delay or plan.reply_delay,
                    type(plan.error),
                    plan.late,
                    plan.lost,
                    plan.corrupted,
                    plan.hang,
                )
                with lock:
                    got[name].append(kind)

    workers = [
        threading.Thread(target=run, args=(names[number::threads],)) for number in range(threads)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return got


def test_the_same_seed_does_the_same_whoever_comes_first():
    names = [f"k{number}" for number in range(30)]
    rates: Any = {"delay": 0.3, "fail": 0.3, "lose": 0.3, "corrupt": 0.3, "hang": 0.1}
    alone = _outcomes(Chaos("seed", **rates), names, 1)
    assert _outcomes(Chaos("seed", **rates), names[::-1], 7) == alone
    assert _outcomes(Chaos("other", **rates), names, 1) != alone
    kinds = {type(each) for each in alone.values()}
    assert kinds == {list}
    flat: list[Any] = [each for outcomes in alone.values() for each in outcomes]
    assert 0.2 < sum(1 for each in flat if each[0]) / len(flat) < 0.4


def test_a_rate_moves_no_other():
    few, many = Chaos(1, delay=0.2), Chaos(1, delay=0.2, lose=0.9)
    delays = [[chaos.plan("fetch", ["k"]).delay for _ in range(50)] for chaos in (few, many)]
    assert delays[0] == delays[1]


def test_keys_of_a_call_are_lost_each_by_itself():
    chaos = Chaos(1, lose=0.5)
    lost = {frozenset(chaos.plan("fetch", ["a", "b", "c"]).lost) for _ in range(100)}
    assert len(lost) == 8


async def test_only_what_may_be_lost_is_lost_unless_named(memory: Face, chaos: Chaos):
    chaos.set(lose=1.0)
    await memory.set("k", 1, tags="t")
    assert await memory.get("k") is None
    assert await memory.exists("k") is False
    assert await memory.delete("k") is True
    assert {operation for operation, what in chaos.counts if what == "lost"} == {
        "fetch",
        "probe",
    }


async def test_it_can_be_calm(memory: Face, chaos: Chaos):
    await memory.set("k", 1)
    chaos.set(fail=1.0)
    with pytest.raises(BackendError):
        await memory.get("k")
    with chaos.paused():
        assert await memory.get("k") == 1
        with chaos.paused():
            await memory.set("k", 2)
        assert await memory.get("k") == 2
    with pytest.raises(BackendError):
        await memory.ping()
    chaos.calm()
    assert not chaos.active
    assert await memory.get("k") == 2
    chaos.resume()
    with pytest.raises(BackendError):
        await memory.get("k")
    chaos.set(fail=0.0)
    await memory.ping()


async def test_nothing_is_read_past_it(memory: Face, chaos: Chaos):
    await memory.set("k", 1)
    peek = memory.store._peek
    assert memory.store._peek("k").value == 1
    chaos.set("fetch", lose=1)
    assert memory.store._peek("k") is None
    chaos.set("fetch", lose=0)
    chaos.set("set", fail=1)
    assert memory.store._peek("k").value == 1
    assert memory.store._peek == peek, "a calm chaos costs a hit nothing"


async def test_a_sync_store_can_be_wrapped():
    from armature_cache import sync

    chaos = Chaos()
    cache = in_chaos(sync.InMemoryCache(), chaos)
    cache.set("k", 1)
    chaos.script("fetch", [Lose()])
    assert cache.get("k") is None
    assert cache.get("k") == 1
    assert in_chaos(InMemoryCache(), chaos).face == "async"
    two = sync.TaggedCache(sync.TieredCache(sync.InMemoryCache(), cache))
    assert two.get("k") == 1
    two.close()


def test_bad_settings_are_refused():
    wrong: list[Callable[[], object]] = [
        lambda: Chaos(fail=1.5),
        lambda: Chaos(delays=(2, 1)),
        lambda: Chaos(errors=()),
        lambda: Chaos(unknown=1),  # type: ignore[call-arg]
        lambda: Chaos().set("nothing", fail=1),  # type: ignore[arg-type]
        lambda: Chaos().set("set", corrupt=1),
        lambda: Chaos().set("sync", lose=1),
        lambda: Chaos().script("nothing", []),  # type: ignore[arg-type]
        lambda: Chaos().script("fetch", ["fail"]),  # type: ignore[list-item]
        lambda: Chaos().script("set", [Corrupt()]),
        lambda: Chaos().script("ping", [Delay(1, Lose())]),
        lambda: Chaos().script("wake", [Hang()]),
    ]
    for make in wrong:
        with pytest.raises(ConfigError):
            make()
