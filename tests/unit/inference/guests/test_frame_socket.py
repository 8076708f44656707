import socket
import threading

import pytest

from modelyard.domain.envelope import Frame
from modelyard.domain.frames import pack
from modelyard.inference.guests.frame_socket import BrokenFrameError, FrameSocket


@pytest.fixture
def ends():
    first, second = socket.socketpair()
    with first, second:
        yield first, second


@pytest.mark.parametrize("look_every_s", [None, 0.1], ids=["guest", "worker"])
@pytest.mark.parametrize("size", [0, 1, 65_523, 65_524, 1 << 20, 5 << 20])
def test_frame_of_any_size_arrives(ends, size, look_every_s):
    frame = Frame(b"head", bytes(range(256)) * (size // 256) + b"x" * (size % 256))
    first, second = (FrameSocket(one, look_every_s=look_every_s) for one in ends)
    sender = threading.Thread(target=first.send, args=(7, frame))
    sender.start()

    received = second.receive()

    sender.join()
    assert received == (7, frame)


def test_frame_in_pieces_arrives(ends):
    data = pack(1, Frame(b"head", b"body"))
    writer = threading.Thread(target=lambda: [ends[0].send(bytes([byte])) for byte in data])
    writer.start()

    received = FrameSocket(ends[1]).receive()

    writer.join()
    assert received == (1, Frame(b"head", b"body"))


@pytest.mark.parametrize("sent", [b"", b"\0\0", pack(1, Frame(b"head", b"body"))[:-1]], ids=repr)
def test_closed_connection_is_nothing(ends, sent):
    ends[0].sendall(sent)
    ends[0].close()

    assert FrameSocket(ends[1]).receive() is None


def test_too_large_frame_is_not_read(ends):
    ends[0].sendall(b"\0\0\0\1" + b"\xff" * 8)

    with pytest.raises(BrokenFrameError):
        FrameSocket(ends[1], max_bytes=1 << 20).receive()


def test_two_frames_where_one_was_asked_for_are_broken(ends):
    ends[0].sendall(pack(1, Frame(b"a")) + pack(2, Frame(b"b")))

    with pytest.raises(BrokenFrameError):
        FrameSocket(ends[1]).receive()


class GivenUpError(Exception):
    pass


def give_up():
    raise GivenUpError


def test_waiting_for_a_frame_can_be_given_up(ends):

    with pytest.raises(GivenUpError):
        FrameSocket(ends[1], look_every_s=0.001).receive(give_up)


def test_waiting_for_the_rest_of_a_frame_can_be_given_up(ends):
    ends[0].sendall(pack(1, Frame(b"head", b"body"))[:-1])

    with pytest.raises(GivenUpError):
        FrameSocket(ends[1], look_every_s=0.001).receive(give_up)


def test_sending_to_one_who_does_not_read_can_be_given_up(ends):

    with pytest.raises(GivenUpError):
        FrameSocket(ends[0], look_every_s=0.001).send(1, Frame(b"", bytes(32 << 20)), give_up)
