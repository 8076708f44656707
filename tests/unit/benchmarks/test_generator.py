"""The load generator against a real HTTP server in a thread of its own."""

import threading
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from benchmarks.load.generator import run_all, run_for, run_while
from benchmarks.load.http_messages import ask, get, render


class Handler(BaseHTTPRequestHandler):
    """Answers 200 to what has a body, 500 to `/broken`; hangs up after `/last`."""

    protocol_version = "HTTP/1.1"

    def do_POST(self):
        self.server.asked[self.path] += 1
        self.server.clients.add(self.client_address)
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.path == "/hang-up":
            self.close_connection = True
            return
        self.send_response(500 if self.path == "/broken" else 200)
        self.send_header("Content-Length", str(len(body)))
        if self.path == "/last":
            self.send_header("Connection", "close")
            self.close_connection = True
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_):
        pass


@pytest.fixture
def server():
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.asked, server.clients = Counter(), set()
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def post(path):
    return render(path, {"Content-Type": "text/csv"}, b"1,2")


def test_every_request_is_sent_once_over_as_many_connections_as_clients(server):
    requests = [post(f"/{number}") for number in range(20)]

    measured = run_all(server.server_port, requests, clients=3)

    assert server.asked == {f"/{number}": 1 for number in range(20)}
    assert len(server.clients) == 3
    assert (len(measured.latencies_s), measured.errors) == (20, 0)


def test_bad_statuses_are_errors(server):
    requests = [post("/fine"), post("/broken"), post("/fine")]

    measured = run_all(server.server_port, requests, clients=1)

    assert (len(measured.latencies_s), measured.errors) == (3, 1)


def test_client_whose_connection_is_closed_after_an_answer_goes_on_with_a_new_one(server):
    measured = run_all(server.server_port, [post("/last")] * 3, clients=1)

    assert measured.errors == 0
    assert len(server.clients) == 3


def test_hanging_up_without_an_answer_is_an_error(server):
    measured = run_all(server.server_port, [post("/hang-up"), post("/fine")], clients=1)

    assert (len(measured.latencies_s), measured.errors) == (2, 1)
    assert server.asked["/fine"] == 1


def test_requests_start_over_until_the_time_is_up(server):
    measured = run_for(server.server_port, [post("/a"), post("/b")], clients=1, seconds=0.05)

    assert measured.elapsed_s >= 0.05
    assert len(measured.latencies_s) == server.asked.total() - 1  # the first is no more than that
    assert server.asked["/a"] - server.asked["/b"] in (1, 2)


def test_run_ends_as_soon_as_it_is_told_to(server):
    asked = server.asked

    measured = run_while(server.server_port, [post("/a")], 2, lambda _: asked["/a"] < 10)

    assert len(measured.latencies_s) == asked["/a"] - 2
    assert 10 <= asked["/a"] <= 12


def test_clock_starts_when_each_client_has_had_an_answer(server):
    server.clients_at_start = None

    def goes_on(_):
        server.clients_at_start = server.clients_at_start or len(server.clients)
        return False

    measured = run_while(server.server_port, [post("/a")], 5, goes_on)

    assert server.clients_at_start == 5
    assert (server.asked["/a"], len(measured.latencies_s), measured.errors) == (5, 0, 0)


def test_client_whose_first_answer_closes_the_connection_goes_on_with_a_new_one(server):
    measured = run_while(
        server.server_port, [post("/last")], 1, lambda _: server.asked["/last"] < 3
    )

    assert (len(measured.latencies_s), measured.errors) == (2, 0)


def test_server_that_hangs_up_at_once_is_an_error_for_each_client(server):
    measured = run_for(server.server_port, [post("/hang-up")], clients=2, seconds=5)

    assert (len(measured.latencies_s), measured.errors) == (0, 2)


def test_nobody_listening_is_an_error_for_each_client():
    measured = run_all(1, [post("/a")], clients=2)

    assert (len(measured.latencies_s), measured.errors) == (0, 2)


def test_single_calls_return_status_and_body(server):
    assert ask(server.server_port, post("/fine")).body == b"1,2"
    assert ask(server.server_port, post("/broken")).status == 500
    assert get(server.server_port, "/").status == 204
