"""What counts as the right answer of a server, whatever its format."""

import pytest

from benchmarks.kinds import Kind, Repository
from benchmarks.load.http_messages import Reply
from benchmarks.peers import system as system_module
from benchmarks.peers.fastapi import FastApi
from benchmarks.peers.system import Serving, check_answer
from benchmarks.servers import Running, ServerError


def check(monkeypatch, tmp_path, reply, expected=-1.9445):
    monkeypatch.setattr(system_module, "ask", lambda port, request: reply)
    serving = Serving(Repository(Kind.XGBOOST, tmp_path, 1, expected))
    check_answer(FastApi(), Running(None, 1, 0.0), serving)


@pytest.mark.parametrize(
    "body", [b"-1.94452", b"[[-1.9445001]]", b'{"outputs":[{"shape":[1],"data":[-1.9445]}]}']
)
def test_prediction_is_found_in_any_format(monkeypatch, tmp_path, body):
    check(monkeypatch, tmp_path, Reply(200, body))


@pytest.mark.parametrize(
    "reply", [Reply(200, b"1.9445"), Reply(200, b""), Reply(500, b"-1.9445"), Reply(200, b"[-1.9]")]
)
def test_other_answers_are_refused(monkeypatch, tmp_path, reply):
    with pytest.raises(ServerError, match="fastapi answered"):
        check(monkeypatch, tmp_path, reply)
