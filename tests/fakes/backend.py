"""An inference backend that follows a script, kept honest by
`tests/contract/test_inference_backends.py`.
"""

from collections import deque
from dataclasses import dataclass

from modelyard.domain.requests import Answer, DescribeApi, Invoke, Request, Survey
from modelyard.domain.values import TargetModel

Outcome = Answer | Exception


@dataclass(frozen=True)
class BackendCall:
    shard: int
    request: Request
    timeout_s: float


class FakeBackend:
    """Plays each model's outcomes in order and stays at the last; exceptions are raised."""

    def __init__(self, shards: int = 1, *, answers_now: bool = False) -> None:
        """With `answers_now`, it answers invocations without an event loop, as on Lambda."""
        self.shards = shards
        self._answers_now = answers_now
        self.calls: list[BackendCall] = []
        self._models: dict[str, deque[Outcome]] = {}
        self._surveys: dict[int, Outcome] = {}

    def script(self, target_model: str, *outcomes: Outcome) -> None:
        self._models[target_model] = deque(outcomes)

    def script_survey(self, shard: int, outcome: Outcome) -> None:
        self._surveys[shard] = outcome

    def call_now(self, shard: int, request: Invoke) -> Answer | None:
        return self._answer(shard, request, 0.0) if self._answers_now else None

    async def call(self, shard: int, request: Request, timeout_s: float) -> Answer:
        return self._answer(shard, request, timeout_s)

    def _answer(self, shard: int, request: Request, timeout_s: float) -> Answer:
        self.calls.append(BackendCall(shard, request, timeout_s))
        outcome = self._outcome(shard, request)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    def _outcome(self, shard: int, request: Request) -> Outcome:
        if isinstance(request, Survey | DescribeApi):
            return self._surveys.get(shard, Answer())
        return self._next(request.source.target_model)

    def _next(self, target_model: TargetModel) -> Outcome:
        outcomes = self._models[target_model]
        return outcomes.popleft() if len(outcomes) > 1 else outcomes[0]
