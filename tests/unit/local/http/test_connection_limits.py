"""What one connection, and all of them together, may hold; how long clients may take."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from modelyard.domain.values import HttpResponse
from modelyard.local.http.limits import (
    BODY_TIMEOUT_S,
    HEAD_TIMEOUT_S,
    IDLE_TIMEOUT_S,
    LINGER_S,
    MAX_AHEAD_BYTES,
    SEND_TIMEOUT_S,
    SLOWEST_BYTES_PER_S,
)
from modelyard.local.http.open_connections import READ_BYTES
from modelyard.local.http.request_head import MAX_HEAD_BYTES
from tests.http_connections import Server, head_of, new_server, post

Run = Callable[[Coroutine[Any, Any, None]], None]
GET = b"GET /now HTTP/1.1\r\nHost: x\r\n\r\n"
CHUNKED = b"POST /now HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
MAX_HELD_BYTES = MAX_HEAD_BYTES + READ_BYTES
"""What one connection holds at most beside a body."""


def after(server: Server, seconds: float) -> None:
    """Let time go by."""
    server.now_s += seconds
    server.connections.close_overdue()


@pytest.mark.parametrize(
    ("begin", "block", "status"),
    [
        (b"GET /now HTTP/1.1\r\nHost: x\r\n", b"a: b\r\n" * 10_000, 431),
        (b"GET /now HTTP/1.1\r\nHost: x\r\na: ", b"b" * 60_000, 431),
        (b"GET /", b"b" * 60_000, 414),
        (b"", b"\0" * 60_000, 414),
        (CHUNKED + b"1;", b"b" * 60_000, 400),
        (CHUNKED + b"0\r\n", b"a: b\r\n" * 10_000, 431),
        (CHUNKED + b"0\r\na: ", b"b" * 60_000, 400),
    ],
    ids=["headers", "header", "URL", "noise", "chunk extension", "trailers", "trailer"],
)
def test_what_has_no_end_is_refused(run: Run, begin: bytes, block: bytes, status: int) -> None:
    async def act() -> None:
        server = new_server()
        async with server.client() as client:
            await client.send(begin)
            for _ in range(20):
                await client.send(block)
                assert server.connections.held_bytes <= MAX_HELD_BYTES
            response, rest = await client.response(), await client.rest()

        assert (response.status, rest, server.site.requests) == (status, b"", [])
        assert server.connections.held_bytes == 0

    run(act())


def test_heads_count_among_the_bytes_of_all_connections(run: Run) -> None:
    async def act() -> None:
        server = new_server(limit_bytes=100_000)
        begun = b"GET /now HTTP/1.1\r\nHost: x\r\na: " + b"b" * 60_000
        async with server.client() as first, server.client() as second:
            await first.send(begun)
            await server.until(lambda: server.connections.held_bytes == len(begun))
            response = await second.ask(begun)
            assert (response.status, response.header("retry-after")) == (503, "1")
            assert (await first.ask(b"\r\n\r\n")).status == 200

        assert server.connections.held_bytes == 0

    run(act())


@pytest.mark.parametrize("is_chunked", [False, True], ids=["length", "chunks"])
def test_bodies_count_among_the_bytes_of_all_connections(run: Run, is_chunked: bool) -> None:
    async def act() -> None:
        server = new_server(limit_bytes=100_000)
        sent = (
            CHUNKED + b"ea60\r\n" + bytes(60_000) + b"\r\n"
            if is_chunked
            else head_of(60_000) + bytes(60_000)
        )
        rest = b"0\r\n\r\n" if is_chunked else b""
        async with server.client() as first, server.client() as second:
            await first.send(head_of(60_001) + bytes(60_000))
            await server.until(lambda: server.connections.held_bytes == 60_000)
            refused = await second.ask(sent + rest)
            assert (refused.status, refused.header("retry-after")) == (503, "1")
            assert (await first.ask(b"1")).status == 200
            assert (await second.ask(sent + rest)).status == 200

        assert server.connections.held_bytes == 0

    run(act())


def test_a_body_with_the_site_counts_until_it_is_answered(run: Run) -> None:
    async def act() -> None:
        server = new_server(limit_bytes=100_000)
        async with server.client() as first, server.client() as second:
            await first.send(post(bytes(60_000), target="/held"))
            await server.site.called.wait()
            assert server.connections.held_bytes == 60_000
            assert (await second.ask(post(bytes(60_000)))).status == 503
            server.site.release.set()
            assert (await first.response()).status == 200
            assert (await second.ask(post(bytes(60_000)))).status == 200

    run(act())


def test_a_client_that_waits_to_send_its_body_is_told_that_there_is_no_memory(run: Run) -> None:
    async def act() -> None:
        server = new_server(limit_bytes=100)
        async with server.client() as client:
            response = await client.ask(head_of(101, "Expect: 100-continue"))
            assert (response.status, await client.rest()) == (503, b"")

    run(act())


def test_a_response_counts_until_it_is_sent(run: Run) -> None:
    async def act() -> None:
        server = new_server(limit_bytes=1 << 20)
        size = 8 << 20
        server.site.response = HttpResponse(200, (), bytes(size))
        async with server.client(receive_bytes=4096) as slow, server.client() as other:
            await slow.send(GET)
            await server.until(lambda: server.connections.held_bytes > size)
            assert (await other.ask(head_of(10, "Expect: 100-continue"))).status == 503
            assert (await slow.response()).status == 200

        assert server.connections.held_bytes == 0

    run(act())


def test_few_further_requests_are_read_while_one_is_answered(run: Run) -> None:
    async def act() -> None:
        server = new_server()
        number = 20_000
        async with server.client() as client:
            await client.send(post(b"1", target="/held"))
            await server.site.called.wait()
            client.writer.write(GET * number)
            await server.until(lambda: server.connections.held_bytes > MAX_AHEAD_BYTES)
            for _ in range(100):
                await asyncio.sleep(0)
            assert server.connections.held_bytes <= MAX_AHEAD_BYTES + READ_BYTES + 1
            server.site.release.set()
            for _ in range(number + 1):
                assert (await client.response()).status == 200

    run(act())


def test_requests_are_not_read_while_a_response_is_not_taken(run: Run) -> None:
    async def act() -> None:
        server = new_server()
        server.site.response = HttpResponse(200, (), bytes(8 << 20))
        async with server.client(receive_bytes=4096) as client:
            await client.send(GET)
            await server.until(lambda: server.connections.held_bytes)
            held_bytes = server.connections.held_bytes
            client.writer.write(b"GET /now HTTP/1.1\r\n" * 100_000)
            await server.until(lambda: server.connections.held_bytes > held_bytes + MAX_AHEAD_BYTES)
            for _ in range(100):
                await asyncio.sleep(0)
            assert server.connections.held_bytes <= held_bytes + MAX_AHEAD_BYTES + READ_BYTES

    run(act())


def test_an_idle_connection_is_closed_in_the_end(run: Run) -> None:
    async def act() -> None:
        server = new_server()
        async with server.client() as fresh, server.client() as used:
            await used.ask(GET)
            after(server, IDLE_TIMEOUT_S - 1)
            await used.ask(GET)
            after(server, 1)
            assert await fresh.rest() == b""
            after(server, IDLE_TIMEOUT_S - 2)
            assert (await used.ask(GET)).status == 200

    run(act())


def test_a_head_that_takes_too_long_is_refused(run: Run) -> None:
    """Each further byte does not give more time."""

    async def act() -> None:
        server = new_server()
        async with server.client() as client:
            await client.send(b"GET /now HTTP/1.1\r\n")
            await server.until(lambda: server.connections.held_bytes)
            after(server, HEAD_TIMEOUT_S - 1)
            held_bytes = server.connections.held_bytes
            await client.send(b"Host: x\r\n")
            await server.until(lambda: server.connections.held_bytes > held_bytes)
            after(server, 1)
            response, rest = await client.response(), await client.rest()

        assert (response.status, response.header("x-amzn-errortype")) == (408, "RequestTimeout")
        assert rest == b""

    run(act())


def test_a_body_gets_time_for_what_has_arrived(run: Run) -> None:
    async def act() -> None:
        server = new_server()
        seconds, size = 10, 10 * SLOWEST_BYTES_PER_S
        async with server.client() as client:
            await client.send(head_of(size + 1) + bytes(size))
            await server.until(lambda: server.connections.held_bytes == size)
            after(server, BODY_TIMEOUT_S + seconds - 1)
            assert server.connections.held_bytes == size
            after(server, 1)
            assert (await client.response()).status == 408

    run(act())


def test_a_call_may_take_its_time(run: Run) -> None:
    async def act() -> None:
        server = new_server()
        async with server.client() as client:
            await client.send(post(b"1", target="/held"))
            await server.site.called.wait()
            after(server, 10 * IDLE_TIMEOUT_S)
            server.site.release.set()
            assert (await client.response()).status == 200

    run(act())


def test_a_client_that_does_not_read_its_response_is_dropped(run: Run) -> None:
    async def act() -> None:
        server = new_server()
        server.site.response = HttpResponse(200, (), bytes(8 << 20))
        async with server.client(receive_bytes=4096) as client:
            await client.send(GET)
            await server.until(lambda: server.connections.held_bytes)
            after(server, SEND_TIMEOUT_S)
            await server.states[0].is_closed.wait()

        assert server.connections.held_bytes == 0

    run(act())


def test_a_client_that_reads_fast_enough_gets_its_whole_response(run: Run) -> None:
    async def act() -> None:
        server = new_server()
        size = 8 << 20
        step = int(SLOWEST_BYTES_PER_S * SEND_TIMEOUT_S) * 2
        server.site.response = HttpResponse(200, (), bytes(size))
        async with server.client(receive_bytes=4096) as client:
            await client.send(GET)
            await client.reader.readuntil(b"\r\n\r\n")
            for start in range(0, size, step):
                await client.reader.readexactly(min(step, size - start))
                after(server, SEND_TIMEOUT_S)
            assert (await client.ask(GET)).status == 200

    run(act())


def test_a_refused_client_that_does_not_stop_is_dropped(run: Run) -> None:
    async def act() -> None:
        server = new_server()
        async with server.client() as client:
            assert (await client.ask(b"nonsense\r\n\r\n")).status == 505
            after(server, LINGER_S - 0.1)
            assert server.states[0].told[-1] != "closed"
            after(server, 0.1)
            await server.states[0].is_closed.wait()

    run(act())
