"""Connections to real servers, and to servers that are none: both faces."""

from __future__ import annotations

import asyncio
import os
import socket
import threading
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from armature_cache import (
    AuthenticationFailed,
    BackendError,
    BackendTimeout,
    BackendUnavailable,
    CacheConfig,
    ClosedError,
    ConfigError,
)
from armature_cache._time import TimeSource, boottime
from armature_cache.memcachedio import connect, wire
from armature_cache.memcachedio.aio import AsyncPort
from armature_cache.memcachedio.blocking import BlockingPort
from armature_cache.memcachedio.names import RUN
from armature_cache.memcachedio.port import Outcome
from armature_cache.memcachedio.wire import At, Command, Reply
from armature_cache.testing import MemcachedServer
from tests.conftest import StartMemcached
from tests.contract.faces import ManualTime
from tests.memcached.servers import saying, serving
from tests.topologies.certificates import Authority


class Asking:
    """A port of either face, asked in the same way."""

    def __init__(self, face: str) -> None:
        self.face = face
        self.time: TimeSource = boottime
        self._ports: list[AsyncPort | BlockingPort] = []

    def port(self, *urls: str, **settings: Any) -> AsyncPort | BlockingPort:
        config = CacheConfig.memcached(list(urls), **settings)
        make = connect.async_port if self.face == "async" else connect.blocking_port
        port: AsyncPort | BlockingPort = make(config, self.time)
        self._ports.append(port)
        return port

    async def __call__(
        self, port: AsyncPort | BlockingPort, *commands: Command, **options: Any
    ) -> list[Outcome]:
        if isinstance(port, AsyncPort):
            return await port.send(commands, **options)
        return await asyncio.to_thread(port.send_now, commands, **options)

    async def close(self) -> None:
        for port in self._ports:
            await port.aclose()


@pytest.fixture(params=["async", "sync"])
async def asking(request: pytest.FixtureRequest) -> AsyncIterator[Asking]:
    made = Asking(request.param)
    yield made
    await made.close()


@pytest.fixture(scope="module")
def papers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("memcached-tls")
    ours, theirs = Authority(folder, "ours"), Authority(folder, "theirs")
    return {
        "server": ours.sign("server", ("127.0.0.1",)),
        "ours": ours.path,
        "theirs": theirs.path,
    }


def only(outcomes: list[Outcome]) -> Reply:
    (outcome,) = outcomes
    assert isinstance(outcome, Reply), outcome
    return outcome


def failure(outcomes: list[Outcome]) -> BackendError:
    errors = [outcome for outcome in outcomes if isinstance(outcome, BackendError)]
    assert len(errors) == len(outcomes)
    return errors[0]


async def test_commands_are_answered_in_their_order(asking: Asking, memcached: MemcachedServer):
    port, name = asking.port(memcached.url), os.urandom(6).hex().encode()
    outcomes = await asking(
        port,
        wire.fetch(0, name),
        wire.store(0, name, b"a\r\nb"),
        wire.fetch(0, name),
        wire.remove(0, name),
        wire.nothing(0),
    )
    codes = [outcome.code for outcome in outcomes if isinstance(outcome, Reply)]
    assert codes == [b"EN", b"HD", b"VA", b"HD", b"MN"]
    assert port.servers[0].largest == 1024 * 1024
    assert await asking(port) == []


async def test_many_and_large_commands(asking: Asking, memcached: MemcachedServer):
    """More than any buffer between the two holds, both ways at once."""
    port, root = asking.port(memcached.url), os.urandom(6).hex().encode()
    names = [b"%b-%d" % (root, number) for number in range(60)]
    large = os.urandom(500_000)
    stored = await asking(port, *(wire.store(0, name, large) for name in names))
    assert {outcome.code for outcome in stored if isinstance(outcome, Reply)} == {b"HD"}
    found = await asking(port, *(wire.fetch(0, name) for name in names * 3))
    values = [outcome.value for outcome in found if isinstance(outcome, Reply)]
    assert len(values) == 180
    assert set(values) <= {large, b""}
    assert values.count(large) > 60
    few = await asking(port, *(wire.fetch(0, b"%b-none-%d" % (root, n)) for n in range(5000)))
    assert len(few) == 5000
    await asking(port, *(wire.remove(0, name) for name in names))


async def test_callers_get_their_own_answers(asking: Asking, memcached: MemcachedServer):
    port, root = asking.port(memcached.url, max_connections=3), os.urandom(6).hex().encode()
    names = [b"%b-%d" % (root, number) for number in range(40)]

    async def one(name: bytes) -> None:
        for _ in range(5):
            await asking(port, wire.store(0, name, name))
            assert only(await asking(port, wire.fetch(0, name))).value == name

    await asyncio.gather(*map(one, names))


async def test_a_socket_of_the_file_system(asking: Asking, start_memcached: StartMemcached):
    port = asking.port(start_memcached(on_socket=True).url)
    assert only(await asking(port, wire.nothing(0))).code == b"MN"
    missing = asking.port("memcached:///nowhere/memcached.sock")
    assert isinstance(failure(await asking(missing, wire.nothing(0))), BackendUnavailable)


async def test_ipv6(asking: Asking):
    try:
        with serving(saying(b"HD\r\nEND\r\n"), family=socket.AF_INET6) as (_, number):
            port = asking.port(f"memcached://[::1]:{number}")
            assert port.servers[0].shown == f"memcached://[::1]:{number}"
            assert isinstance(failure(await asking(port, wire.nothing(0))), BackendUnavailable)
    except OSError:
        pytest.fail("this machine has no IPv6 loopback")


async def test_user_and_password(asking: Asking, start_memcached: StartMemcached):
    server = start_memcached(auth=("me", "s3cret"))
    port = asking.port(server.url)
    assert only(await asking(port, wire.nothing(0))).code == b"MN"
    assert "s3cret" not in port.backend
    plain = server.url.replace("me:s3cret@", "")
    nobody = failure(await asking(asking.port(plain), wire.nothing(0)))
    assert isinstance(nobody, AuthenticationFailed)
    assert "wants a user" in str(nobody)
    wrong = failure(await asking(asking.port(server.url.replace("s3", "S3")), wire.nothing(0)))
    assert isinstance(wrong, AuthenticationFailed)
    assert "S3cret" not in str(wrong)


async def test_tls(asking: Asking, start_memcached: StartMemcached, papers: dict[str, Any]):
    server = start_memcached(tls=papers["server"])
    assert server.url.startswith("memcacheds://")
    trusted = asking.port(f"{server.url}?ssl_ca_certs={papers['ours']}")
    assert only(await asking(trusted, wire.nothing(0))).code == b"MN"
    for options in ("", f"?ssl_ca_certs={papers['theirs']}"):
        error = failure(await asking(asking.port(server.url + options), wire.nothing(0)))
        assert "certificate verify failed" in str(error)
    lax = asking.port(f"{server.url}?ssl_cert_reqs=none")
    assert only(await asking(lax, wire.nothing(0))).code == b"MN"
    plain = asking.port(server.url.replace("memcacheds", "memcached"), operation_timeout=0.5)
    assert isinstance(failure(await asking(plain, wire.nothing(0))), BackendError)


def test_tls_options_that_cannot_be_used(tmp_path: Path):
    for option in (f"ssl_ca_certs={tmp_path}/none.pem", "ssl_ciphers=NONSENSE"):
        config = CacheConfig.memcached(f"memcacheds://127.0.0.1?{option}")
        with pytest.raises(ConfigError, match="TLS options") as caught:
            connect.async_port(config, boottime)
        assert caught.value.field == "url"


# -- failures ----------------------------------------------------------------------------------


async def test_nobody_listens(asking: Asking):
    port = asking.port("memcached://127.0.0.1:1")
    error = failure(await asking(port, wire.nothing(0), wire.nothing(0)))
    assert isinstance(error, BackendUnavailable)
    assert error.backend == "memcached://127.0.0.1:1"


@pytest.mark.faults
async def test_timeouts_apply(asking: Asking, start_memcached: StartMemcached):
    server = start_memcached()
    port = asking.port(server.url, operation_timeout=0.3, connect_timeout=0.4)
    assert only(await asking(port, wire.nothing(0))).code == b"MN"
    server.pause()
    for _ in range(2):  # on a connection that is there, and on a new one
        began = time.monotonic()
        error = failure(await asking(port, wire.nothing(0)))
        assert isinstance(error, BackendTimeout)
        assert time.monotonic() - began < 5
    server.resume()
    assert only(await asking(port, wire.nothing(0))).code == b"MN"


async def test_an_answer_may_come_in_pieces(asking: Asking):
    def trickle(connection: socket.socket) -> None:
        while data := connection.recv(65_536):
            answers = b"MN\r\n"
            if data.startswith(b"mg "):
                answers = b"VA 3 c1 t-1 f0\r\nrun\r\n" + b"END\r\n" * (b"stats" in data)
            for byte in answers:
                connection.sendall(bytes([byte]))
                time.sleep(0.002)

    with serving(trickle) as (host, number):
        port = asking.port(f"memcached://{host}:{number}")
        assert only(await asking(port, wire.nothing(0))).code == b"MN"


async def test_slow_answers_do_not_stretch_the_timeout(asking: Asking):
    """A byte now and then is no answer."""

    def drip(connection: socket.socket) -> None:
        while connection.recv(65_536):
            for byte in b"HD" * 100:
                connection.sendall(bytes([byte]))
                time.sleep(0.05)

    with serving(drip) as (host, number):
        port = asking.port(f"memcached://{host}:{number}", connect_timeout=0.3)
        began = time.monotonic()
        assert isinstance(failure(await asking(port, wire.nothing(0))), BackendTimeout)
        assert time.monotonic() - began < 5


@pytest.mark.parametrize(
    "garbage",
    [
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        b"-ERR unknown command\r\n",
        b"\0\xff\r\n",
        b"VA 9999999999999 c1\r\n",
        b"ERROR\r\n",
        b"x" * 10_000,
    ],
    ids=lambda raw: repr(raw[:8]),
)
async def test_who_does_not_speak_the_protocol(asking: Asking, garbage: bytes):
    with serving(saying(garbage)) as (host, number):
        port = asking.port(f"memcached://{host}:{number}", connect_timeout=2)
        for _ in range(2):
            error = failure(await asking(port, wire.nothing(0)))
            assert isinstance(error, BackendUnavailable)
            assert len(str(error)) < 400


async def test_a_server_that_is_too_old(asking: Asking):
    with serving(saying(b"ERROR\r\n")) as (host, number):
        port = asking.port(f"memcached://{host}:{number}")
        assert "1.6" in str(failure(await asking(port, wire.nothing(0))))


async def test_bytes_that_nobody_asked_for_end_a_connection(asking: Asking):
    """The next caller must not take them for his answer."""
    heard = []

    def serve(connection: socket.socket) -> None:
        while data := connection.recv(65_536):
            heard.append(data)
            if data.startswith(b"mg armature:run"):
                connection.sendall(b"VA 3 c1 t-1 f0\r\nrun\r\n")
                if b"stats" in data:
                    connection.sendall(b"END\r\n")
            else:
                connection.sendall(b"MN\r\n")
                time.sleep(0.05)
                connection.sendall(b"HD c7\r\n")

    with serving(serve) as (host, number):
        port = asking.port(f"memcached://{host}:{number}")
        for _ in range(3):
            assert only(await asking(port, wire.nothing(0))).code == b"MN"
            await asyncio.sleep(0.15)
    assert sum(data.startswith(b"mg armature:run") for data in heard) == 3


@pytest.mark.faults
async def test_a_restarted_server_is_found_again_and_is_another_run(
    asking: Asking, start_memcached: StartMemcached
):
    server = start_memcached()
    port = asking.port(server.url)
    (stored,) = await asking(port, wire.store(0, b"a", b"1"))
    assert isinstance(stored, Reply)
    server.restart()
    again = only(await asking(port, wire.fetch(0, b"a", vivify=60)))
    assert again.code == b"VA"
    assert again.run != stored.run
    over_old = only(await asking(port, wire.store(0, b"a", b"2", over=stored.at)))
    assert over_old.code == b"EX", "though the new server may have issued the same CAS value"
    over_new = only(await asking(port, wire.store(0, b"a", b"3", over=again.at)))
    assert over_new.code == b"HD"


async def test_a_lost_mark_is_a_new_run_for_all_connections(
    asking: Asking, start_memcached: StartMemcached
):
    server = start_memcached()
    port = asking.port(server.url)
    first = only(await asking(port, wire.store(0, b"a", b"1")))
    server.command(b"md " + RUN)
    other = Asking(asking.face)
    newer = only(await other(other.port(server.url), wire.fetch(0, b"a")))
    assert newer.run != first.run, "who comes next cannot know that it is the same"
    kept = only(await asking(port, wire.fetch(0, b"a")))
    assert kept.run == first.run
    port.servers[0].meet(newer.run)
    assert only(await asking(port, wire.fetch(0, b"a"))).run == newer.run
    await other.close()


async def test_one_of_several_servers_fails(asking: Asking, start_memcached: StartMemcached):
    servers = [start_memcached() for _ in range(3)]
    asking.time = clock = ManualTime()
    port = asking.port(*(server.url for server in servers), operation_timeout=5)
    ports = [server.endpoint.port for server in port.servers]
    dead = next(server for server in servers if server.port == ports[1])
    dead.kill()
    commands = [wire.nothing(node) for node in (0, 1, 2, 1)]
    outcomes = await asking(port, *commands)
    assert [isinstance(outcome, Reply) for outcome in outcomes] == [True, False, True, False]
    assert port.servers[1].resting
    spared = (await asking(port, *commands))[1]
    assert "a moment ago" in str(spared)
    dead.start()
    clock.now += 1.0
    assert all(isinstance(each, Reply) for each in await asking(port, *commands))
    assert not port.servers[1].resting


async def test_a_closed_port_says_so(asking: Asking, memcached: MemcachedServer):
    port = asking.port(memcached.url)
    await asking(port, wire.nothing(0))
    await port.aclose()
    with pytest.raises(ClosedError):
        await asking(port, wire.nothing(0))


async def test_a_cancelled_caller_leaves_the_others_alone(memcached: MemcachedServer):
    asking = Asking("async")
    port, name = asking.port(memcached.url), os.urandom(6).hex().encode()
    tasks = [
        asyncio.create_task(asking(port, wire.store(0, b"%b%d" % (name, n), b"x" * 1000)))
        for n in range(30)
    ]
    await asyncio.sleep(0)
    for task in tasks[::2]:
        task.cancel()
    outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    assert all(isinstance(outcome, list) for outcome in outcomes[1::2])
    assert only(await asking(port, wire.nothing(0))).code == b"MN"
    await asking.close()


def test_connections_are_few(start_memcached: StartMemcached):
    server = start_memcached()
    config = CacheConfig.memcached(server.url, max_connections=2, operation_timeout=20)
    port = connect.blocking_port(config, boottime)

    def work() -> None:
        for _ in range(50):
            port.send_now([wire.nothing(0)])

    threads = [threading.Thread(target=work) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    stats = dict(line.split()[1:3] for line in server.command(b"stats") if line != b"END")
    assert int(stats[b"total_connections"]) < 20
    assert int(stats[b"curr_connections"]) <= 2 + 3
    port.close_now()


def test_a_port_that_is_busy_says_so(start_memcached: StartMemcached):
    server = start_memcached()
    config = CacheConfig.memcached(server.url, max_connections=1, operation_timeout=0.2)
    port = connect.blocking_port(config, boottime)
    pool = port._pools[0]
    assert pool.places.take(0)
    (outcome,) = port.send_now([wire.nothing(0)])
    assert isinstance(outcome, BackendTimeout)
    assert "max_connections" in str(outcome)
    pool.places.leave()
    assert only(port.send_now([wire.nothing(0)])).code == b"MN"
    port.close_now()


def test_a_run_is_never_guessed(memcached: MemcachedServer):
    """A CAS value that was read from nowhere is good for nothing."""
    port = connect.blocking_port(CacheConfig.memcached(memcached.url), boottime)
    (reply,) = port.send_now([wire.store(0, b"guess", b"", over=At(b"", 1))])
    assert isinstance(reply, Reply)
    assert reply.code == b"EX"
    port.close_now()
