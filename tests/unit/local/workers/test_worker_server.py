import socket
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, BinaryIO

import pytest

from modelyard.domain.envelope import Frame, parse_answer, render_request
from modelyard.domain.frames import pack, read_frame
from modelyard.domain.requests import Answer, Invoke, Load, Request, Survey
from modelyard.domain.values import ModelSource, Payload, Prediction, TargetModel
from modelyard.local.workers import worker_channel, worker_server
from modelyard.local.workers.worker_connection import listen
from modelyard.local.workers.worker_server import SHORT_S, ShortCalls, WorkerServer

ENDED = Answer(prediction=Prediction(b"done"))
Handle = Callable[[Request], Answer]


class Scene:
    """A server under test and connections to it."""

    def __init__(self, folder: Path) -> None:
        self.address = str(folder / "worker.sock")
        self.listener = listen(self.address)
        self.opened: list[socket.socket] = []
        self.thread = threading.Thread()
        self.others = threading.enumerate()

    def serve(self, handle: Handle) -> WorkerServer:
        server = WorkerServer(self.listener, handle)
        self.thread = threading.Thread(target=server.serve)
        self.thread.start()
        return server

    def connect(self) -> tuple[socket.socket, BinaryIO]:
        client = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        client.settimeout(30)
        client.connect(self.address)
        self.opened.append(client)
        return client, client.makefile("rb")

    def close(self) -> None:
        for client in self.opened:
            client.close()
        self.listener.shutdown(socket.SHUT_RDWR)
        self.thread.join(timeout=30)  # from here on no connection is accepted
        self.listener.close()
        while left := {*threading.enumerate()} - {*self.others}:
            # A thread that has just been made is listed before it can be joined.
            for thread in (thread for thread in left if thread.ident is not None):
                thread.join(timeout=30)
                assert not thread.is_alive()


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    scene = Scene(tmp_path)
    yield scene
    scene.close()


def ask(client: socket.socket, stream: BinaryIO, name: str = "housing") -> Answer | None:
    client.sendall(pack(1, render_request(Survey(name, "memory:"))))
    numbered = read_frame(stream)
    return None if numbered is None else parse_answer(numbered[1])


def test_every_request_of_a_connection_is_answered(scene: Scene) -> None:
    scene.serve(lambda request: Answer(prediction=Prediction(repr(request).encode())))
    client, stream = scene.connect()

    answers = [ask(client, stream, name) for name in ("a", "b")]

    assert [answer.prediction.body for answer in answers if answer and answer.prediction] == [
        repr(Survey(name, "memory:")).encode() for name in ("a", "b")
    ]


def test_slow_call_does_not_hold_up_another_connection(scene: Scene) -> None:
    release = threading.Event()

    def handle(request: Request) -> Answer:
        if request == Survey("slow", "memory:"):
            assert release.wait(timeout=30)
        return ENDED

    scene.serve(handle)
    slow_client, slow_stream = scene.connect()
    slow_client.sendall(pack(1, render_request(Survey("slow", "memory:"))))

    answer = ask(*scene.connect())

    release.set()
    assert answer == ENDED
    assert read_frame(slow_stream) is not None


def test_answer_that_cannot_be_rendered_is_an_error_answer(scene: Scene) -> None:
    unrenderable = Answer(prediction=Prediction(b"1", content_type=object()))  # type: ignore[arg-type]
    scene.serve(lambda _: unrenderable)

    answer = ask(*scene.connect())

    assert answer is not None
    assert answer.error is not None
    assert "internal error" in answer.error.message


def test_request_that_cannot_be_parsed_is_an_error_answer(scene: Scene) -> None:
    scene.serve(lambda _: ENDED)
    client, stream = scene.connect()

    client.sendall(pack(1, Frame(b"no json")))

    numbered = read_frame(stream)
    assert numbered is not None
    assert parse_answer(numbered[1]).error is not None


def test_caller_that_left_does_not_disturb_the_server(scene: Scene) -> None:
    left = threading.Event()

    def handle(_: Request) -> Answer:
        assert left.wait(timeout=30)
        return ENDED

    scene.serve(handle)
    impatient, stream = scene.connect()
    impatient.sendall(pack(1, render_request(Survey("housing", "memory:"))))
    stream.close()
    impatient.close()
    left.set()

    assert ask(*scene.connect()) == ENDED


def test_stop_waits_for_the_running_call(scene: Scene) -> None:
    begun, release = threading.Event(), threading.Event()

    def handle(_: Request) -> Answer:
        begun.set()
        assert release.wait(timeout=30)
        return ENDED

    server = scene.serve(handle)
    client, stream = scene.connect()
    client.sendall(pack(1, render_request(Survey("housing", "memory:"))))
    assert begun.wait(timeout=30)
    stopping = threading.Thread(target=server.stop, args=(30.0,))
    stopping.start()

    release.set()
    stopping.join(timeout=30)

    assert not stopping.is_alive()
    assert read_frame(stream) is not None


def test_stop_gives_up_on_a_call_that_takes_too_long(scene: Scene) -> None:
    begun, release = threading.Event(), threading.Event()

    def handle(_: Request) -> Answer:
        begun.set()
        assert release.wait(timeout=30)
        return ENDED

    server = scene.serve(handle)
    client, stream = scene.connect()
    client.sendall(pack(1, render_request(Survey("housing", "memory:"))))
    assert begun.wait(timeout=30)

    server.stop(0.01)

    release.set()
    assert read_frame(stream) is not None


def test_stopped_server_takes_no_call(scene: Scene) -> None:
    server = scene.serve(lambda _: ENDED)
    client, stream = scene.connect()

    server.stop(1.0)

    assert ask(client, stream) is None


def invoke(model: str) -> Invoke:
    return Invoke(ModelSource("housing", TargetModel(model), "memory:"), Payload(b""), 1.0, 1.0)


def test_calls_of_a_connection_do_not_hold_each_other_up(scene: Scene) -> None:
    release = threading.Event()

    def handle(request: Request) -> Answer:
        if request == invoke("slow"):
            assert release.wait(timeout=30)
        return ENDED

    scene.serve(handle)
    client, stream = scene.connect()
    calls = ["slow", "quick", "slow", "quick"]
    client.sendall(b"".join(pack(n, render_request(invoke(m))) for n, m in enumerate(calls)))

    first = sorted(numbered[0] for _ in range(2) if (numbered := read_frame(stream)))

    release.set()
    rest = sorted(numbered[0] for _ in range(2) if (numbered := read_frame(stream)))
    assert (first, rest) == ([1, 3], [0, 2])


def test_model_that_was_quick_and_is_slow_now_does_not_hold_others_up(scene: Scene) -> None:
    is_slow, release = threading.Event(), threading.Event()

    def handle(request: Request) -> Answer:
        if request == invoke("moody") and is_slow.is_set():
            assert release.wait(timeout=30)
        return ENDED

    scene.serve(handle)
    client, stream = scene.connect()
    for number in range(3):
        client.sendall(pack(number, render_request(invoke("moody"))))
        assert read_frame(stream)
    is_slow.set()
    frames = [pack(7, render_request(invoke("moody"))), pack(8, render_request(invoke("other")))]
    client.sendall(b"".join(frames))

    first = read_frame(stream)

    release.set()
    second = read_frame(stream)
    assert first and second
    assert (first[0], second[0]) == (8, 7)


def test_many_calls_at_once_are_all_answered(scene: Scene) -> None:
    scene.serve(lambda request: ENDED)
    client, stream = scene.connect()
    numbers = range(1_000)
    frames = (pack(n, render_request(invoke(f"model-{n % 7}"))) for n in numbers)

    sender = threading.Thread(target=client.sendall, args=(b"".join(frames),))
    sender.start()
    answered = sorted(numbered[0] for _ in numbers if (numbered := read_frame(stream)))

    sender.join()
    assert answered == list(numbers)


def test_thread_ends_after_its_share_of_calls_and_none_is_lost(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker_channel, "MAX_CALLS", 10)
    threads: list[threading.Thread] = []

    def handle(_: Request) -> Answer:
        threads.append(threading.current_thread())
        return ENDED

    scene.serve(handle)
    client, stream = scene.connect()
    numbers = range(200)
    client.sendall(b"".join(pack(n, render_request(invoke(f"model-{n % 7}"))) for n in numbers))
    answered = sorted(numbered[0] for _ in numbers if (numbered := read_frame(stream)))

    assert answered == list(numbers)
    assert max(Counter(threads).values()) <= 10
    threads[0].join(timeout=30)
    assert not threads[0].is_alive()


def test_thread_goes_on_when_no_other_can_be_started(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker_channel, "MAX_CALLS", 2)
    scene.serve(lambda _: ENDED)
    client, stream = scene.connect()
    assert ask(client, stream) == ENDED

    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)

    assert [ask(client, stream) for _ in range(7)] == [ENDED] * 7


class LateWatch:
    """`threading` for a channel whose watch acts only when it may, and what it has then done."""

    def __init__(self) -> None:
        self.looked, self.may_act, self.acted = (threading.Event() for _ in range(3))
        self.handed_on: list[str] = []
        late = self

        def is_watch() -> bool:
            return threading.current_thread().name == "_watch"

        class Condition(threading.Condition):
            def __enter__(self) -> bool:
                if is_watch():
                    late.looked.set()
                    assert late.may_act.wait(timeout=30)
                return super().__enter__()

            def __exit__(self, *raised: Any) -> None:
                super().__exit__(*raised)
                if is_watch():
                    late.acted.set()

            def notify(self, n: int = 1) -> None:
                if is_watch():
                    late.handed_on.append("to an idle thread")
                super().notify(n)

        class Thread(threading.Thread):
            def start(self) -> None:
                if is_watch():
                    late.handed_on.append("to a new thread")
                super().start()

        members = {**vars(threading), "Condition": Condition, "Thread": Thread}
        self.threading = SimpleNamespace(**members)


def test_call_that_ends_while_the_watch_looks_keeps_its_thread_the_reader(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The watch has seen a call run for long; before it acts, the call ends."""
    watch, is_slow = LateWatch(), threading.Event()
    monkeypatch.setattr(worker_channel, "threading", watch.threading)
    monkeypatch.setattr(worker_server, "SHORT_S", 60.0)

    def handle(request: Request) -> Answer:
        if is_slow.is_set():
            assert watch.looked.wait(timeout=30)
        return ENDED

    scene.serve(handle)
    client, stream = scene.connect()

    def call() -> int | None:
        client.sendall(pack(1, render_request(invoke("moody"))))
        numbered = read_frame(stream)
        return None if numbered is None else numbered[0]

    assert call() == 1
    is_slow.set()
    assert call() == 1
    watch.may_act.set()
    assert watch.acted.wait(timeout=30)
    assert watch.handed_on == []
    assert call() == 1
    stream.close()


def test_requests_are_short_when_they_were_and_no_load_ever_is() -> None:
    short = ShortCalls()
    load = Load(invoke("a").source, 1.0)

    before = short.has(invoke("a"))
    short.learn(invoke("a"), SHORT_S / 2)
    short.learn(load, SHORT_S / 2)
    after = (short.has(invoke("a")), short.has(invoke("b")), short.has(load))
    short.learn(invoke("a"), SHORT_S * 2)

    assert (before, after, short.has(invoke("a"))) == (False, (True, False, False), False)
