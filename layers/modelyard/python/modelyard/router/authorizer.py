"""Lets a caller call a model, or refuses it; looks into the repository where rules depend on it."""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from modelyard.domain.endpoints import Endpoint
from modelyard.domain.ports import ModelRepository
from modelyard.domain.values import Principal, StoredObject, TargetModel
from modelyard.router.access import depends_on_files, is_allowed, may_open, refusal
from modelyard.router.lookups import OLDEST_S, Lookups

LOOK_S = 0.2
"""How long every refusal takes that depends on the repository, so that it tells nothing of it."""
_MAX_VERDICTS = 10_000
_LEAST_TTL_S = 1.0

_Question = tuple[str, tuple[str, ...], TargetModel]
_Files = tuple[StoredObject, ...]


@dataclass(frozen=True, slots=True)
class _Verdict:
    endpoint: Endpoint
    """Whose rules were applied: after a change of the rules there is another object."""
    is_allowed: bool
    depends_on_files: bool
    good_until: float


class Authorizer:
    """Applies access rules to calls. A verdict about files is good for `revalidate` seconds.

    While the repository does not answer, a call that was allowed before is for up to `OLDEST_S`.
    """

    def __init__(
        self,
        open_repository: Callable[[str], ModelRepository],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._open_repository = open_repository
        self._monotonic = monotonic
        self._lookups: Lookups[tuple[str, TargetModel], _Files] = Lookups("repository", monotonic)
        self._verdicts: OrderedDict[_Question, _Verdict] = OrderedDict()

    def is_known_to_allow(
        self, endpoint: Endpoint, principal: Principal, target_model: TargetModel
    ) -> bool:
        """Return whether a verdict that is still good allows the call, without asking anything."""
        if not endpoint.access:
            return True
        verdict = self._verdicts.get((endpoint.name, principal.names, target_model))
        return (
            verdict is not None
            and verdict.endpoint is endpoint
            and verdict.good_until > self._monotonic()
            and verdict.is_allowed
        )

    async def authorize(
        self, endpoint: Endpoint, principal: Principal, target_model: TargetModel
    ) -> None:
        """Return if the principal may call the model.

        Raises:
            AccessDeniedError: it may not.
            DependencyError: that depends on the repository, which cannot be read.
        """
        if not endpoint.access:
            return
        asked_at = self._monotonic()
        question = endpoint.name, principal.names, target_model
        verdict = self._verdicts.get(question)
        if verdict is not None and verdict.endpoint is not endpoint:
            verdict = None
        if verdict is None or verdict.good_until <= asked_at:
            verdict = await self._judge(endpoint, principal, target_model, verdict)
            self._remember(question, verdict)
        if verdict.is_allowed:
            return
        if verdict.depends_on_files:
            await asyncio.sleep(max(0.0, asked_at + LOOK_S - self._monotonic()))
        raise refusal(endpoint, principal)

    async def _judge(
        self,
        endpoint: Endpoint,
        principal: Principal,
        target_model: TargetModel,
        older: _Verdict | None,
    ) -> _Verdict:
        if not is_allowed(endpoint, principal, target_model):
            return _Verdict(endpoint, False, False, float("inf"))
        if not depends_on_files(endpoint, principal, target_model):
            return _Verdict(endpoint, True, False, float("inf"))
        now = self._monotonic()
        has_older = older is not None and older.is_allowed and now < older.good_until + OLDEST_S
        repository = self._open_repository(endpoint.repository)
        found = await self._lookups.find(
            (endpoint.repository, target_model),
            lambda: tuple(repository.objects(target_model)),
            has_older=has_older,
        )
        if found is None:
            assert older is not None
            return older
        files, asked_at = found
        may = may_open(endpoint, principal, target_model, files)
        ttl_s = endpoint.revalidate_s if may else max(endpoint.revalidate_s, _LEAST_TTL_S)
        return _Verdict(endpoint, may, True, asked_at + ttl_s)

    def _remember(self, question: _Question, verdict: _Verdict) -> None:
        self._verdicts[question] = verdict
        self._verdicts.move_to_end(question)
        if len(self._verdicts) > _MAX_VERDICTS:
            self._verdicts.popitem(last=False)
