from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from armature_cache.testing import RedisServer, ServerError, local
from armature_cache.testing import servers as servers_module
from armature_cache.testing.ports import free_ports

if TYPE_CHECKING:
    from tests.conftest import StartServer

_OWNER = """
import os, signal
from armature_cache.testing import RedisServer
server = RedisServer().start()
print(server.pid, server.directory, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def ask(server: RedisServer, *commands: str, timeout: float = 5) -> list[str]:
    with socket.create_connection((server.host, server.port), timeout=timeout) as connection:
        connection.sendall("".join(f"{each}\r\n" for each in (*commands, "QUIT")).encode())
        reply = b"".join(iter(lambda: connection.recv(4096), b""))
    return reply.decode().splitlines()[:-1]


def test_shared_server_answers(server: RedisServer, server_url: str):
    assert ask(server, "PING") == ["+PONG"]
    assert server_url == f"redis://127.0.0.1:{server.port}/0"
    os.kill(server.pid, 0)


def test_namespaces_differ(namespace: str, request: pytest.FixtureRequest):
    assert namespace.isalnum()
    assert request.getfixturevalue("namespace") is namespace


async def test_async_tests_run(anyio_backend_name: str):
    assert anyio_backend_name == "asyncio"


@pytest.mark.faults
def test_kill_and_restart_keep_the_port_and_lose_the_data(start_server: StartServer):
    server = start_server()
    port, pid = server.port, server.pid
    ask(server, "SET k v")
    server.kill()
    assert not server.running
    with pytest.raises(ConnectionRefusedError):
        ask(server, "PING")
    server.restart()
    assert (server.port, server.pid == pid) == (port, False)
    assert ask(server, "GET k") == ["$-1"]


@pytest.mark.faults
def test_restart_keeps_data_that_the_server_saves(start_server: StartServer):
    server = start_server({"save": "3600 1"})
    ask(server, "SET k v")
    server.restart()
    assert ask(server, "GET k") == ["$1", "v"]


@pytest.mark.faults
def test_paused_server_keeps_silent_until_resumed(start_server: StartServer):
    server = start_server()
    server.pause()
    with pytest.raises(TimeoutError):
        ask(server, "PING", timeout=0.05)
    server.resume()
    assert ask(server, "PING") == ["+PONG"]


@pytest.mark.faults
def test_paused_server_stops(start_server: StartServer):
    server = start_server()
    server.pause()
    server.stop()
    assert not server.running


def test_password_is_asked_for_and_in_the_url_only(start_server: StartServer):
    server = start_server({"requirepass": 'p@ss "word'})
    assert ask(server, "PING")[0].startswith("-NOAUTH")
    assert server.url == f"redis://:p%40ss%20%22word@127.0.0.1:{server.port}/0"
    assert ask(server, 'AUTH "p@ss \\"word"', "PING") == ["+OK", "+PONG"]
    assert "word" not in repr(server)


def test_users_that_leave_no_default_user(start_server: StartServer):
    server = start_server({"user": ["default off", "app on >secret ~app:* +@all"]})
    assert ask(server, "PING")[0].startswith("-NOAUTH")
    _, own, foreign = ask(server, "AUTH app secret", "SET app:k v", "SET k v")
    assert own == "+OK"
    assert foreign.startswith("-NOPERM")


def test_port_that_another_server_won_is_given_up(
    start_server: StartServer, monkeypatch: pytest.MonkeyPatch
):
    first = start_server()
    second_port = next(free_ports())
    monkeypatch.setattr(local, "free_ports", lambda: iter([first.port, second_port]))
    second = start_server()
    assert second.port == second_port
    assert first.running


def test_bus_port_that_another_server_won_is_given_up(
    start_server: StartServer, monkeypatch: pytest.MonkeyPatch
):
    first = start_server()
    good = [next(free_ports()) for _ in range(3)]
    ports = iter([good[0], first.port, *good[1:]])
    for module in (local, servers_module):
        monkeypatch.setattr(module, "free_ports", lambda: ports)
    second = start_server({"cluster-enabled": True})
    assert [second.port, second.bus_port] == good[1:]


def test_commands_answer_in_python(start_server: StartServer):
    server = start_server({"requirepass": "secret"})
    assert server.command("SET", b"k\r\n", 1.5) == "OK"
    assert server.command("GET", "k\r\n") == b"1.5"
    assert server.command("EVAL", "return {1, {'a', ''}, {}, false}", 0) == [
        1,
        [b"a", b""],
        [],
        None,
    ]
    with pytest.raises(ServerError, match=r"^WRONGTYPE "):
        server.command("LPUSH", "k\r\n", "v")
    queued = [("MULTI",), ("STRLEN", "k\r\n"), ("LLEN", "k\r\n"), ("EXEC",)]
    *_, (length, error) = server.commands(*queued)
    assert length == 3
    assert isinstance(error, ServerError)


@pytest.mark.faults
def test_commands_to_a_dead_or_paused_server(start_server: StartServer):
    server = start_server()
    server.pause()
    assert server.paused
    with pytest.raises(TimeoutError):
        server.command("PING", timeout=0.05)
    server.kill()
    with pytest.raises(ConnectionRefusedError):
        server.command("PING")


def test_bad_option_shows_the_servers_words_and_leaves_nothing(
    start_server: StartServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with pytest.raises(ServerError, match="no-such-directive"):
        start_server({"no-such-directive": 1})
    assert not list(tmp_path.iterdir())


def test_close_leaves_nothing(start_server: StartServer):
    server = start_server()
    pid, directory = server.pid, server.directory
    server.close()
    assert not directory.exists()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    with pytest.raises(ServerError, match="not running"):
        server.kill()


@pytest.mark.faults
def test_server_ends_with_its_killed_owner():
    owner = subprocess.run(
        [sys.executable, "-c", _OWNER], capture_output=True, text=True, check=False
    )
    assert owner.returncode == -signal.SIGKILL
    pid, directory = owner.stdout.split()
    while Path(directory).exists() or _lives(int(pid)):
        os.sched_yield()


def _lives(pid: int) -> bool:
    stat = Path(f"/proc/{pid}/stat")
    try:
        return stat.read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
