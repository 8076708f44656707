"""Calls of another process, which answers over a Unix socket: both sides, as they really are."""

import asyncio
import socket
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing, suppress
from dataclasses import replace
from pathlib import Path

import pytest

from modelyard.domain.envelope import Frame
from modelyard.domain.errors import CapacityError, ModelyardError
from modelyard.domain.frames import pack
from modelyard.domain.messages import INTERNAL_ERROR
from modelyard.domain.requests import Answer, Invoke, NextPart, Request, Survey
from modelyard.domain.values import ModelSource, Payload, Prediction, TargetModel
from modelyard.local.envelopes.connection import GREETING
from modelyard.local.envelopes.remote import MAX_QUEUED_BYTES, RemoteProcess
from modelyard.local.envelopes.server import AnswerNow, EnvelopeServer, Respond

SURVEY = Survey("housing", "file:///models/")
PATIENCE_S = 20.0


def invoke(body: bytes = b"1") -> Invoke:
    source = ModelSource("housing", TargetModel("m.json"), "file:///models/")
    return Invoke(source, Payload(body, "text/csv", "text/csv"), 1.0, 1.0)


def predicted(body: bytes) -> Answer:
    return Answer(prediction=Prediction(body, "text/csv"))


async def echo(request: Request) -> Answer:
    return predicted(request.payload.body if isinstance(request, Invoke) else b"")


@asynccontextmanager
async def served(
    folder: Path, respond: Respond = echo, answer_now: AnswerNow = lambda _: None, calls: int = 8
) -> AsyncIterator[RemoteProcess]:
    """Yield a process that answers envelopes, as another one calls it."""
    address = str(folder / "worker.sock")
    envelopes = EnvelopeServer(respond, answer_now)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(address)
        listener.listen()
        accepting = await envelopes.listen(listener)
        process = RemoteProcess(address, calls)
        try:
            with closing(process):
                yield process
        finally:
            accepting.close()
            await envelopes.finish(PATIENCE_S)
            await asyncio.sleep(0.01)


def test_a_call_is_answered(tmp_path: Path) -> None:
    async def act() -> None:
        async with served(tmp_path) as process:
            body = bytes(3 << 20)
            assert (await process.call(invoke(body))).prediction == predicted(body).prediction
            assert process.in_flight == 0

    asyncio.run(act())


def test_a_call_that_takes_no_waiting_is_answered_at_once(tmp_path: Path) -> None:
    async def never(request: Request) -> Answer:
        raise AssertionError

    async def act() -> None:
        async with served(tmp_path, never, lambda _: predicted(b"now")) as process:
            assert (await process.call(invoke())).prediction == predicted(b"now").prediction

    asyncio.run(act())


@pytest.mark.parametrize("is_made_late", [False, True], ids=["between parts", "first part"])
def test_an_output_whose_asker_has_died_is_ended_at_once(
    tmp_path: Path, is_made_late: bool
) -> None:
    async def act() -> None:
        ended: asyncio.Future[Request] = asyncio.get_running_loop().create_future()
        is_asked, make = asyncio.Event(), asyncio.Event()

        async def respond(request: Request) -> Answer:
            if isinstance(request, NextPart):
                ended.set_result(request)
                return Answer()
            is_asked.set()
            await make.wait()
            return replace(predicted(b"part"), has_more=True)

        async with served(tmp_path, respond) as process:
            call = asyncio.create_task(process.call(invoke()))
            await is_asked.wait()
            if not is_made_late:
                make.set()
                await call
            process.close()
            make.set()
            request = await asyncio.wait_for(ended, PATIENCE_S)
            with suppress(ConnectionError):
                await call
        assert request == NextPart(invoke().source, invoke().request_id, is_abandoned=True)

    asyncio.run(act())


def test_calls_do_not_wait_for_each_other(tmp_path: Path) -> None:
    async def act() -> None:
        release = asyncio.Event()

        async def respond(request: Request) -> Answer:
            if isinstance(request, Survey):
                release.set()
            await release.wait()
            return await echo(request)

        async with served(tmp_path, respond) as process:
            answers = await asyncio.gather(process.call(invoke()), process.call(SURVEY))
            assert [answer.error for answer in answers] == [None, None]

    asyncio.run(act())


@pytest.mark.parametrize(
    ("raised", "told"),
    [
        (CapacityError("full"), CapacityError("full")),
        (ValueError(), ModelyardError(INTERNAL_ERROR)),
    ],
)
def test_an_error_is_an_answer(tmp_path: Path, raised: Exception, told: ModelyardError) -> None:
    async def fail(request: Request) -> Answer:
        raise raised

    async def act() -> None:
        async with served(tmp_path, fail) as process:
            error = (await process.call(SURVEY)).error
            assert (type(error), str(error)) == (type(told), str(told))

    asyncio.run(act())


def test_a_damaged_envelope_is_an_error_of_that_call_alone(tmp_path: Path) -> None:
    async def act() -> None:
        async with served(tmp_path):
            reader, writer = await asyncio.open_unix_connection(tmp_path / "worker.sock")
            writer.write(pack(7, Frame(b"no JSON")))
            assert await reader.readexactly(len(GREETING)) == GREETING
            assert await reader.readexactly(4) == (7).to_bytes(4, "big")
            assert INTERNAL_ERROR.encode() in await reader.read(1000)
            writer.close()
            await writer.wait_closed()

    asyncio.run(act())


def test_only_so_many_calls_are_sent_at_a_time(tmp_path: Path) -> None:
    async def act() -> None:
        release = asyncio.Event()

        async def respond(request: Request) -> Answer:
            await release.wait()
            return await echo(request)

        async with served(tmp_path, respond, calls=2) as process:
            running = [asyncio.create_task(process.call(SURVEY)) for _ in range(2)]
            await asyncio.sleep(0)
            with pytest.raises(CapacityError, match="too many calls in flight: 2"):
                await process.call(SURVEY)
            release.set()
            await asyncio.gather(*running)
            assert (await process.call(SURVEY)).error is None

    asyncio.run(act())


def test_the_bytes_that_wait_for_a_process_are_bounded(tmp_path: Path) -> None:
    """A process that stands still takes none; calls that were given up are not taken back."""

    async def act() -> None:
        address = str(tmp_path / "worker.sock")
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
            listener.bind(address)
            listener.listen()
            body = bytes(6 << 20)
            accepting = asyncio.create_task(asyncio.to_thread(greeted, listener))
            with closing(RemoteProcess(address, 100)) as process:
                sent_bytes = 0
                with pytest.raises(CapacityError, match="too many bytes of calls wait"):
                    while sent_bytes < 20 * MAX_QUEUED_BYTES:  # some end before they are sent
                        with suppress(TimeoutError):
                            await asyncio.wait_for(process.call(invoke(body)), 0.02)
                        sent_bytes += len(body)
                assert sent_bytes > MAX_QUEUED_BYTES - len(body)
            await asyncio.sleep(0)
            (await accepting).close()

    asyncio.run(act())


def greeted(listener: socket.socket) -> socket.socket:
    """Accept a connection as a process does, which then reads nothing."""
    accepted, _ = listener.accept()
    accepted.sendall(GREETING)
    return accepted


def test_a_process_that_does_not_listen_is_waited_for(tmp_path: Path) -> None:
    async def act() -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await RemoteProcess(str(tmp_path / "nothing.sock"), 1).call(SURVEY)

    asyncio.run(act())


def test_a_process_that_was_replaced_is_called_again(tmp_path: Path) -> None:
    address = str(tmp_path / "worker.sock")

    def answer_once(listener: socket.socket) -> None:
        with greeted(listener) as connection:
            connection.recv(1 << 16)  # and ends

    async def act() -> None:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
            listener.bind(address)
            listener.listen()
            ending = threading.Thread(target=answer_once, args=(listener,))
            ending.start()
            process = RemoteProcess(address, 2)
            with pytest.raises(ConnectionError):
                await process.call(SURVEY)
            await asyncio.to_thread(ending.join)
            envelopes = EnvelopeServer(echo)
            accepting = await envelopes.listen(listener)
            assert (await process.call(invoke(b"2"))).prediction == predicted(b"2").prediction
            process.close()
            accepting.close()
            await asyncio.sleep(0.01)

    asyncio.run(act())


def test_an_answer_that_nobody_waits_for_is_dropped(tmp_path: Path) -> None:
    async def act() -> None:
        release, is_called = asyncio.Event(), asyncio.Event()

        async def respond(request: Request) -> Answer:
            is_called.set()
            await release.wait()
            return await echo(request)

        async with served(tmp_path, respond) as process:
            call = asyncio.create_task(process.call(SURVEY))
            await is_called.wait()
            process.close()
            with pytest.raises(ConnectionError):
                await call
            release.set()

    asyncio.run(act())
