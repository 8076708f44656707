"""What one connection answers, over a real socket."""

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from modelyard.domain.values import HttpResponse
from tests.http_connections import head_of, new_server, post

Run = Callable[[Coroutine[Any, Any, None]], None]
GET = b"GET /now HTTP/1.1\r\nHost: x\r\n\r\n"


def test_a_request_is_answered(run: Run) -> None:
    async def act() -> None:
        server = new_server()
        async with server.client() as client:
            response = await client.ask(post(b"12", "A: b "))

        [request] = server.site.requests
        assert (response.status, response.body) == (200, b"12")
        assert (request.method, request.target, request.body) == ("POST", b"/now", b"12")
        assert (b"a", b"b") in request.headers
        assert request.client == "127.0.0.1"
        assert response.header("date") is not None

    run(act())


@pytest.mark.parametrize("target", ["/now", "/later"])
def test_a_connection_is_used_for_one_request_after_another(run: Run, target: str) -> None:
    async def act() -> None:
        server = new_server()
        async with server.client() as client:
            bodies = [
                (await client.ask(post(b"%d" % number, target=target))).body for number in range(3)
            ]

        assert bodies == [b"0", b"1", b"2"]

    run(act())


@pytest.mark.parametrize("target", ["/now", "/later"])
def test_pipelined_requests_are_answered_in_order(run: Run, target: str) -> None:
    async def act() -> None:
        server = new_server()
        async with server.client() as client:
            await client.send(b"".join(post(b"%d" % number, target=target) for number in range(50)))
            bodies = [(await client.response()).body for _ in range(50)]

        assert bodies == [b"%d" % number for number in range(50)]

    run(act())


@pytest.mark.parametrize("target", ["/now", "/later"])
def test_a_client_that_ended_its_side_gets_all_its_answers(run: Run, target: str) -> None:
    async def act() -> None:
        server = new_server()
        async with server.client() as client:
            await client.send(b"".join(post(b"%d" % number, target=target) for number in range(5)))
            client.end()
            bodies = [(await client.response()).body for _ in range(5)]
            rest = await client.rest()

        assert (bodies, rest) == ([b"0", b"1", b"2", b"3", b"4"], b"")

    run(act())


@pytest.mark.parametrize(
    "part", [b"POST /now HT", head_of(10), head_of(10) + b"123"], ids=["head", "no body", "body"]
)
def test_a_request_that_ends_too_early_is_refused(run: Run, part: bytes) -> None:
    async def act() -> None:
        server = new_server()
        async with server.client() as client:
            await client.send(part)
            client.end()
            response, rest = await client.response(), await client.rest()

        assert (response.status, rest, server.site.requests) == (400, b"", [])
        assert b"ended within the request" in response.body

    run(act())


def test_a_client_that_ends_between_requests_is_let_go(run: Run) -> None:
    async def act() -> None:
        server = new_server()
        async with server.client() as client:
            await client.ask(GET)
            client.end()
            assert await client.rest() == b""

    run(act())


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"GET /now HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
        b"GET /now HTTP/1.0\r\n\r\n",
        b"GET /now HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
    ],
    ids=["close", "HTTP/1.0", "HTTP/1.0 keep-alive"],
)
def test_the_connection_ends_after_a_last_request(run: Run, request_bytes: bytes) -> None:
    async def act() -> None:
        server = new_server()
        async with server.client() as client:
            response, rest = await client.ask(request_bytes), await client.rest()

        assert (response.status, response.header("connection"), rest) == (200, "close", b"")

    run(act())


def test_what_follows_a_last_request_is_thrown_away(run: Run) -> None:
    async def act() -> None:
        server = new_server()
        async with server.client() as client:
            last = b"GET /now HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
            response, rest = await client.ask(last + GET), await client.rest()

        assert (response.status, rest, len(server.site.requests)) == (200, b"", 1)

    run(act())


@pytest.mark.parametrize("status", [200, 204, 304])
def test_head_and_statuses_without_a_body(run: Run, status: int) -> None:
    async def act() -> None:
        server = new_server()
        server.site.response = HttpResponse(status, (), b"body" if status == 200 else b"")
        async with server.client() as client:
            response = await client.ask(b"HEAD /now HTTP/1.1\r\nHost: x\r\n\r\n", is_head=True)
            following = await client.ask(GET)

        assert response.header("content-length") == ("4" if status == 200 else None)
        assert (response.status, following.status) == (status, status)

    run(act())


def test_a_client_that_waits_for_it_is_told_to_send_the_body(run: Run) -> None:
    async def act() -> None:
        server = new_server()
        async with server.client() as client:
            invitation = await client.ask(head_of(2, "Expect: 100-continue"))
            response = await client.ask(b"12")

        assert (invitation.status, invitation.headers) == (100, [])
        assert (response.status, response.body) == (200, b"12")

    run(act())


def test_a_client_that_does_not_wait_is_not_told(run: Run) -> None:
    async def act() -> None:
        server = new_server()
        async with server.client() as client:
            assert (await client.ask(post(b"12", "Expect: 100-continue"))).status == 200

    run(act())


def test_a_body_that_is_too_large_is_refused_before_it_is_sent(run: Run) -> None:
    async def act() -> None:
        server = new_server(max_body_bytes=10)
        async with server.client() as client:
            response = await client.ask(head_of(11, "Expect: 100-continue"))
            assert (response.status, await client.rest()) == (413, b"")

    run(act())


@pytest.mark.parametrize("is_chunked", [False, True], ids=["length", "chunks"])
def test_a_body_that_is_too_large_is_read_to_its_end(run: Run, is_chunked: bool) -> None:
    """A client sends its whole request before it reads the response."""

    async def act() -> None:
        server = new_server(max_body_bytes=10)
        body = bytes(3 << 20)
        sent = head_of(len(body)) + body
        if is_chunked:
            head = b"POST /now HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
            sent = head + b"%x\r\n" % len(body) + body + b"\r\n0\r\n\r\n"
        async with server.client() as client:
            refused, following = await client.ask(sent), await client.ask(GET)

        assert (refused.status, following.status) == (413, 200)
        assert [request.method for request in server.site.requests] == ["GET"]

    run(act())


def test_a_body_without_end_is_refused_while_it_is_sent(run: Run) -> None:
    async def act() -> None:
        server = new_server(max_body_bytes=10)
        async with server.client() as client:
            response = await client.ask(head_of(1 << 40) + b"1")
            assert (response.status, await client.rest()) == (413, b"")

    run(act())


@pytest.mark.parametrize("looks_up", [False, True], ids=["at once", "after a while"])
def test_the_body_of_an_unknown_caller_is_not_kept(run: Run, looks_up: bool) -> None:
    async def act() -> None:
        server = new_server()
        server.site.refuses, server.site.looks_up = HttpResponse(403, (), b"who?"), looks_up
        async with server.client() as client:
            await client.send(head_of(100_000) + bytes(50_000))
            await server.until(lambda: server.site.admitted)
            server.site.release.set()
            await server.until(lambda: not server.connections.held_bytes)
            response = await client.ask(bytes(50_000))

        assert (response.status, response.body, server.site.requests) == (403, b"who?", [])

    run(act())


def test_a_caller_is_looked_up_while_the_body_arrives(run: Run) -> None:
    async def act() -> None:
        server = new_server()
        server.site.looks_up = True
        async with server.client() as client:
            await client.send(head_of(6) + b"123")
            await server.until(lambda: server.site.admitted)
            await client.send(b"456" + GET)
            server.site.release.set()
            response, following = await client.response(), await client.response()

        assert (response.body, following.status) == (b"123456", 200)

    run(act())


@pytest.mark.parametrize("target", ["/broken", "/broken-later"])
def test_a_defect_is_a_500_response(
    run: Run, target: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def act() -> None:
        server = new_server()
        async with server.client() as client:
            response, following = await client.ask(post(b"1", target=target)), await client.ask(GET)

        assert (response.status, response.header("x-amzn-errortype")) == (500, "InternalFailure")
        assert following.status == 200

    run(act())
    assert [record.message for record in caplog.records] == ["request failed"]


@pytest.mark.parametrize(
    "header",
    [
        ("a", "b\r\nc: d"),
        ("a", "b\nc"),
        ("a", "\0"),
        ("a b", "c"),
        ("a:", "c"),
        ("", "c"),
        ("a", "ż"),
    ],
)
def test_an_illegal_header_is_a_500_response(
    run: Run, header: tuple[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    async def act() -> None:
        server = new_server()
        server.site.response = HttpResponse(200, (header,), b"body")
        async with server.client() as client:
            response = await client.ask(GET)

        assert (response.status, response.header("c")) == (500, None)

    with caplog.at_level(logging.ERROR):
        run(act())
    assert [record.message for record in caplog.records] == ["response not valid"]


@pytest.mark.parametrize("upgrade", ["h2c", "websocket", "foo"])
def test_an_upgrade_is_ignored(run: Run, upgrade: str) -> None:
    async def act() -> None:
        server = new_server()
        inner = post(b"inner")
        head = head_of(len(inner), f"Upgrade: {upgrade}", "Connection: Upgrade, HTTP2-Settings")
        async with server.client() as client:
            await client.send(head)
            response = await client.ask(inner)
            following = await client.ask(GET)

        assert (response.status, response.body) == (200, inner)
        assert (following.status, len(server.site.requests)) == (200, 2)

    run(act())


def test_a_malformed_request_is_answered_before_the_connection_ends(run: Run) -> None:
    async def act() -> None:
        server = new_server()
        async with server.client() as client:
            response = await client.ask(b"nonsense\r\n\r\n" + bytes(1 << 20))
            rest = await client.rest()

        assert (response.header("x-amzn-errortype"), rest) == ("ValidationError", b"")
        assert response.header("connection") == "close"

    run(act())


def test_a_call_whose_caller_left_is_cancelled(run: Run) -> None:
    async def act() -> None:
        server = new_server()
        async with server.client() as client:
            await client.send(post(b"1", target="/held"))
            await server.site.called.wait()
            client.writer.transport.abort()
            # An abort without unread bytes looks like a client that only ended its side.
            server.made[0].abort()
            await asyncio.wait_for(server.site.cancelled.wait(), 20)

        assert server.connections.held_bytes == 0

    run(act())


def test_idle_connections_are_closed_at_once_and_others_after_their_response(run: Run) -> None:
    async def act() -> None:
        server = new_server()
        async with server.client() as idle, server.client() as busy:
            await busy.send(post(b"1", target="/held"))
            await server.site.called.wait()
            draining = asyncio.create_task(server.connections.drain(20))
            assert await idle.rest() == b""
            server.site.release.set()
            response = await busy.response()
            assert (response.body, response.header("connection")) == (b"1", "close")
            await draining

    run(act())


def test_drain_gives_up(run: Run) -> None:
    async def act() -> None:
        server = new_server()
        async with server.client() as busy:
            await busy.send(post(b"1", target="/held"))
            await server.site.called.wait()
            await server.connections.drain(0)
            assert await busy.rest() == b""

    run(act())


def test_the_state_says_what_would_be_lost(run: Run) -> None:
    async def act() -> None:
        server = new_server()
        async with server.client() as client:
            await client.ask(GET)
            assert server.states[0].told == ["called", "answering", "waits"]
            await client.send(b"\r\n")  # belongs to no request
            await server.until(lambda: server.states[0].told[3:] == ["called", "waits"])

    run(act())


def test_the_state_of_a_pipelined_request_is_called_again(run: Run) -> None:
    async def act() -> None:
        server = new_server()
        async with server.client() as client:
            await client.send(GET + post(b"1", target="/held"))
            await client.response()
            await server.until(lambda: len(server.site.requests) == 2)
            assert server.states[0].told == ["called", "answering", "called"]

    run(act())


class Parts:
    """The parts of a response: the test adds them; None is the last, an exception is raised."""

    def __init__(self, *parts: bytes | Exception | None) -> None:
        self.queue: asyncio.Queue[bytes | Exception | None] = asyncio.Queue()
        self.is_closed = asyncio.Event()
        for part in parts:
            self.queue.put_nowait(part)

    def __aiter__(self) -> "Parts":
        return self

    async def __anext__(self) -> bytes:
        part = await self.queue.get()
        if part is None:
            raise StopAsyncIteration
        if isinstance(part, Exception):
            raise part
        return part

    async def aclose(self) -> None:
        self.is_closed.set()


def test_parts_of_a_response_are_sent_as_they_are_made(run: Run) -> None:
    async def act() -> None:
        server, parts = new_server(), Parts()
        async with server.client() as client:
            server.site.response = HttpResponse(200, (), b"first", parts)
            head = await client.ask(post(b"", target="/later"))
            assert head.header("transfer-encoding") == "chunked"
            assert await client.reader.readexactly(10) == b"5\r\nfirst\r\n"

            for part in (b"", b"second", None):
                parts.queue.put_nowait(part)
            assert await client.reader.readexactly(16) == b"6\r\nsecond\r\n0\r\n\r\n"

            server.site.response = None
            assert (await client.ask(post(b"next"))).body == b"next"
        assert parts.is_closed.is_set()

    run(act())


def test_parts_for_a_client_of_http_1_0_end_with_the_connection(run: Run) -> None:
    async def act() -> None:
        server = new_server()
        async with server.client() as client:
            server.site.response = HttpResponse(200, (), b"first ", Parts(b"second", None))
            head = await client.ask(b"POST /later HTTP/1.0\r\nHost: x\r\n\r\n")
            assert head.header("transfer-encoding") is None
            assert await client.rest() == b"first second"

    run(act())


def test_a_part_that_cannot_be_made_breaks_the_connection(run: Run) -> None:
    async def act() -> None:
        server, parts = new_server(), Parts(RuntimeError("no part"))
        async with server.client() as client:
            server.site.response = HttpResponse(200, (), b"first", parts)
            await client.ask(post(b"", target="/later"))
            assert await client.rest() == b"5\r\nfirst\r\n"  # no last chunk

    run(act())


def test_parts_for_a_client_that_left_are_closed(run: Run) -> None:
    async def act() -> None:
        server, parts = new_server(), Parts()
        async with server.client() as client:
            server.site.response = HttpResponse(200, (), b"first", parts)
            await client.ask(post(b"", target="/later"))
        async with asyncio.timeout(20):
            await parts.is_closed.wait()

    run(act())


def test_parts_are_made_no_faster_than_the_client_reads(run: Run) -> None:
    async def act() -> None:
        server, parts = new_server(), Parts(*[bytes(1 << 20)] * 64, None)
        async with server.client(receive_bytes=4096) as client:
            server.site.response = HttpResponse(200, (), b"", parts)
            await client.ask(post(b"", target="/later"))
            [made] = server.made
            assert server.connections.held_bytes <= 2 << 20
            assert parts.queue.qsize() > 60
            server.now_s += 40
            made.time_out_if_due(server.now_s)
            assert len(await client.rest()) < 8 << 20
        assert parts.is_closed.is_set()

    run(act())
