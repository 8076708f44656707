"""The states of connections, which all processes of the server see."""

import socket
import sys
from pathlib import Path

import pytest

from modelyard.local.handover.states import MAX_CONNECTIONS, ConnectionStates, State, bytes_sent


def test_a_state_is_seen_by_others(tmp_path: Path) -> None:
    ours = ConnectionStates.create(tmp_path / "states")
    theirs = ConnectionStates.open(tmp_path / "states")

    theirs.set(0, State.ANSWERING)
    theirs.set(MAX_CONNECTIONS - 1, State.CALLED)

    assert [ours.of(number) for number in (0, 1, MAX_CONNECTIONS - 1)] == [
        State.ANSWERING,
        State.WAITS,
        State.CALLED,
    ]


@pytest.mark.skipif(sys.platform != "linux", reason="Linux says how much was sent")
@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_all_bytes_count_that_the_system_has_taken(host: str) -> None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listener = socket.create_server((host, 0), family=family)
    except OSError:
        pytest.skip(f"no {host} here")
    with listener, socket.create_connection(listener.getsockname()[:2]) as client:
        server, _ = listener.accept()
        with server:
            assert bytes_sent(server) == 0
            server.setblocking(False)
            taken = 0
            with pytest.raises(BlockingIOError):
                while True:
                    taken += server.send(bytes(100_000))
            assert bytes_sent(server) == taken
            client.recv(50_000)
            assert bytes_sent(server) == taken
