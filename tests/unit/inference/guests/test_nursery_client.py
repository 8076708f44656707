import os
import signal
import socket

import psutil
import pytest

from modelyard.domain.errors import CapacityError
from modelyard.inference.guests import nursery_client
from modelyard.inference.guests.nursery_client import NurseryClient
from tests.serving import eventually


@pytest.fixture
def client():
    nursery = NurseryClient([])
    yield nursery
    nursery.close()


def started(client, **options):
    """Start a guest that waits for what to load; returns it and the other end of its socket."""
    ours, theirs = socket.socketpair()
    read_end, write_end = os.pipe()
    with theirs:
        guest = client.start_guest(theirs.fileno(), write_end, **options)
    os.close(read_end)
    os.close(write_end)
    return guest, ours


def test_guest_is_a_child_of_the_nursery(client):
    guest, ours = started(client)

    with ours:
        assert psutil.Process(guest.pid).ppid() == guest.nursery
        assert psutil.Process(guest.nursery).num_threads() == 1


def test_end_returns_how_a_guest_ended(client):
    guest, ours = started(client)
    with ours:
        assert os.WTERMSIG(client.end_guest(guest)) == signal.SIGKILL

    other, theirs = started(client)
    theirs.close()  # nobody will ask it anything: it exits
    eventually(lambda: not psutil.Process(other.nursery).children())
    assert os.WEXITSTATUS(client.end_guest(other)) == 0


def test_nursery_that_died_is_started_again(client):
    first, ours = started(client)
    os.kill(first.nursery, signal.SIGKILL)

    second, other = started(client)

    with ours, other:
        assert second.nursery != first.nursery
        assert client.end_guest(first) is None
        eventually(lambda: not psutil.pid_exists(first.pid))


def test_guests_die_with_their_nursery(client):
    guests = [started(client, fresh=fresh) for fresh in (False, True)]

    os.kill(guests[0][0].nursery, signal.SIGKILL)

    for guest, ours in guests:
        with ours:
            eventually(lambda guest=guest: not _is_running(guest.pid))


def test_closing_ends_guests_and_nursery(client):
    guest, ours = started(client)

    client.close()

    ours.close()
    assert not _is_running(guest.pid)
    assert not _is_running(guest.nursery)


def test_nursery_has_no_secret_of_the_server(client, monkeypatch):
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "undisclosed")
    guest, ours = started(client)

    with ours:
        assert "undisclosed" not in psutil.Process(guest.pid).environ().values()


def test_no_process_is_a_lack_of_capacity(client, monkeypatch):
    def refuse(*_, **__):
        raise OSError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(nursery_client.os, "posix_spawn", refuse)

    with pytest.raises(CapacityError, match="Resource temporarily unavailable"):
        client.start()


def _is_running(pid):
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
