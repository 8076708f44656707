"""Start environments for calls and remove idle ones, as Lambda does."""

import random
from collections import defaultdict
from collections.abc import Iterator

from benchmarks.fleet.environment import Environment, Pool
from benchmarks.fleet.events import Agenda
from benchmarks.fleet.measures import Level
from benchmarks.fleet.platform import Platform


class Fleet:
    """All environments of an endpoint, by pool."""

    def __init__(
        self, agenda: Agenda, platform: Platform, *, per_tenant: bool = False, seed: int = 0
    ) -> None:
        self.busy = Level()
        self.alive = Level()
        self._agenda = agenda
        self._platform = platform
        self._most_alive = self._alive_allowed(per_tenant)
        self._idle: defaultdict[Pool, list[Environment]] = defaultdict(list)
        self._busy_by_shard: defaultdict[int, int] = defaultdict(int)
        self._dice = random.Random(seed)

    def take(self, pool: Pool) -> Environment | None:
        """Return an environment for one call, a new one if none is idle; None if throttled."""
        if self._is_full(pool[0]):
            return None
        idle = self._idle[pool]
        if not idle and self.alive.value >= self._most_alive:
            return None
        environment = self._chosen(idle) if idle else self._created(pool)
        environment.begin()
        self._count_busy(pool, 1)
        return environment

    def give_back(self, environment: Environment) -> None:
        """End the call of an environment."""
        now = self._agenda.now
        environment.end(now)
        self._count_busy(environment.pool, -1)
        self._idle[environment.pool].append(environment)
        if not environment.is_watched:
            environment.is_watched = True
            self._agenda.at(now + self._platform.idle_s, self._look_at, environment)

    def idle(self) -> Iterator[Environment]:
        """Yield the idle environments."""
        for environments in self._idle.values():
            yield from environments

    def _look_at(self, environment: Environment) -> None:
        """Remove an environment that was idle for long enough, or plan the next check."""
        environment.is_watched = False
        if environment.is_busy:
            return
        due = environment.idle_since + self._platform.idle_s
        if due > self._agenda.now:
            environment.is_watched = True
            self._agenda.at(due, self._look_at, environment)
            return
        self._idle[environment.pool].remove(environment)
        self.alive.change(-1, self._agenda.now)

    def _is_full(self, shard: int) -> bool:
        limit = self._platform.shard_concurrency
        shard_is_full = limit is not None and self._busy_by_shard[shard] >= limit
        return shard_is_full or self.busy.value >= self._platform.concurrency

    def _chosen(self, idle: list[Environment]) -> Environment:
        if self._platform.placement == "random":
            position = self._dice.randrange(len(idle))
            idle[position], idle[-1] = idle[-1], idle[position]
        return idle.pop()

    def _created(self, pool: Pool) -> Environment:
        self.alive.change(1, self._agenda.now)
        return Environment(pool, self._platform, self._agenda)

    def _count_busy(self, pool: Pool, by: int) -> None:
        self.busy.change(by, self._agenda.now)
        self._busy_by_shard[pool[0]] += by

    def _alive_allowed(self, per_tenant: bool) -> float:
        if not per_tenant:
            return float("inf")
        return self._platform.concurrency * self._platform.tenants_per_concurrency
