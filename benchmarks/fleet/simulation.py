"""Simulate a call: router, shard, environment, then memory, disk or S3, and the answer."""

from collections.abc import Callable
from dataclasses import dataclass

from benchmarks.fleet.environment import Environment, Pool, SimulatedModel
from benchmarks.fleet.events import Agenda
from benchmarks.fleet.fleet import Fleet
from benchmarks.fleet.measures import Served
from benchmarks.fleet.platform import Platform
from benchmarks.fleet.policies import Policy, Routes, model_id, source_of
from benchmarks.fleet.storage import ArtifactStore, Link
from benchmarks.fleet.tally import Outcome, Tally
from benchmarks.fleet.warm_queue import SimulatedWarmQueue
from benchmarks.fleet.workload import Workload
from modelyard.aws.cost.bills import Cache
from modelyard.inference.residence.model_cache import LoadedModel


@dataclass(slots=True)
class Invocation:
    """One call of a shard, by a client, or by the warmer if `when_loaded` is given."""

    model: int
    arrived_at: float
    is_measured: bool = False
    is_answered: bool = False
    when_loaded: Callable[[bool], None] | None = None


class Simulation:
    """One policy with one workload; equal seeds give equal outcomes."""

    def __init__(
        self, workload: Workload, policy: Policy, platform: Platform | None = None, seed: int = 1
    ) -> None:
        self.agenda = Agenda()
        self.platform = platform or Platform()
        self.fleet = Fleet(self.agenda, self.platform, per_tenant=policy.per_tenant, seed=seed)
        self.tally = Tally(self.agenda, self.fleet.busy, self.fleet.alive)
        self._workload = workload
        self._policy = policy
        self._routes = Routes(policy)
        self._queue = SimulatedWarmQueue(self.agenda, self.platform.warmers, self._warm)
        self._shared = ArtifactStore(self.platform, self.platform.disk_bytes, self._link())
        self._calls = workload.calls(seed)
        self._arrivals = workload.arrivals(seed)
        self._sizes = workload.sizes(seed, self.platform.largest_artifact_bytes)
        self.agenda.at(self._arrivals[0], self._arrive, 0)

    def run(self) -> Outcome:
        """Simulate all calls and return the outcome."""
        self.agenda.run()
        return self.tally.outcome()

    def _link(self) -> Link | None:
        if self.platform.cache is Cache.TMP:
            return None
        is_elastic = self.platform.cache is Cache.ELASTIC
        speed = (
            self.platform.elastic_bytes_per_s if is_elastic else self.platform.bursting_bytes_per_s
        )
        return Link(speed, self.platform.efs_client_bytes_per_s)

    def _arrive(self, number: int) -> None:
        if number == self._workload.warm_up:
            self.tally.start()
        model = self._calls[number]
        is_measured = number >= self._workload.warm_up
        self._ask_shards(Invocation(model, self.agenda.now, is_measured), number)
        if number + 1 < len(self._arrivals):
            self.agenda.at(self._arrivals[number + 1], self._arrive, number + 1)
        else:
            self.tally.stop()

    def _ask_shards(self, invocation: Invocation, turn: int) -> None:
        """Call the shard, or the second choice if it is full, as `modelyard.router.router`."""
        for shard in self._routes.choices(invocation.model, turn):
            environment = self.fleet.take(self._pool(shard, invocation.model))
            if environment is not None:
                self._begin(environment, invocation)
                return
        self._answer(invocation, Served.THROTTLED)

    def _warm(self, model: int, when_loaded: Callable[[bool], None]) -> None:
        """Invoke the model's first choice to load it."""
        shard = self._routes.choices(model, 0)[0]
        environment = self.fleet.take(self._pool(shard, model))
        if environment is None:
            self.agenda.at(self.agenda.now, when_loaded, False)
            return
        self.tally.usage.warm_invocations += 1
        self._begin(environment, Invocation(model, self.agenda.now, when_loaded=when_loaded))

    def _pool(self, shard: int, model: int) -> Pool:
        return (shard, model if self._policy.per_tenant else -1)

    def _begin(self, environment: Environment, invocation: Invocation) -> None:
        if not environment.is_new:
            self._open(environment, invocation)
            return
        self.tally.cold_start(is_measured=invocation.is_measured)
        opens_at = self.agenda.now + self.platform.cold_start_s
        self.agenda.at(opens_at, self._open, environment, invocation)

    def _open(self, environment: Environment, invocation: Invocation) -> None:
        model = invocation.model
        if environment.models.find(model_id(model)) is not None:
            self._predict(environment, invocation, Served.MEMORY)
            return
        store = self._store_of(environment)
        size = self._sizes[model]
        staged_at, source = store.bring(model, size, self.agenda.now, self.tally.usage)
        loaded_at = staged_at + self.platform.load_s(size)
        if loaded_at > self.agenda.now + self.platform.window_s:
            patience_s = self.platform.window_s + self.platform.grace_s
            told_at = max(self.agenda.now, min(loaded_at, invocation.arrived_at + patience_s))
            self.agenda.at(told_at, self._tell_not_ready, invocation)
        self.agenda.at(loaded_at, self._loaded, environment, invocation, source)

    def _store_of(self, environment: Environment) -> ArtifactStore:
        """Return where the environment stages: the shared file system or its own /tmp."""
        if self.platform.cache is not Cache.TMP:
            return self._shared
        if environment.own_store is None:
            environment.own_store = ArtifactStore(self.platform, self.platform.tmp_bytes, None)
        return environment.own_store

    def _tell_not_ready(self, invocation: Invocation) -> None:
        """End the wait of the caller; the load continues, and a warm message is sent."""
        if invocation.when_loaded is None:
            self._answer(invocation, Served.NOT_READY)
            self._queue.send(invocation.model)

    def _loaded(self, environment: Environment, invocation: Invocation, source: Served) -> None:
        environment.load(source_of(invocation.model), self._sizes[invocation.model])
        if invocation.when_loaded is None and not invocation.is_answered:
            self._predict(environment, invocation, source)
            return
        self.fleet.give_back(environment)
        if invocation.when_loaded is not None:
            invocation.when_loaded(True)

    def _predict(self, environment: Environment, invocation: Invocation, source: Served) -> None:
        if invocation.when_loaded is not None:  # already loaded
            self.fleet.give_back(environment)
            self.agenda.at(self.agenda.now, invocation.when_loaded, True)
            return
        lease = environment.models.lease(source_of(invocation.model))
        assert lease is not None
        ends_at = self.agenda.now + self.platform.predict_s
        self.agenda.at(ends_at, self._end, environment, invocation, source, lease)

    def _end(
        self,
        environment: Environment,
        invocation: Invocation,
        source: Served,
        lease: LoadedModel[SimulatedModel],
    ) -> None:
        environment.models.release(lease)
        self.fleet.give_back(environment)
        self._answer(invocation, source)

    def _answer(self, invocation: Invocation, served: Served) -> None:
        invocation.is_answered = True
        took_s = self.agenda.now - invocation.arrived_at + self.platform.router_s
        self.tally.answer(served, took_s, is_measured=invocation.is_measured)
