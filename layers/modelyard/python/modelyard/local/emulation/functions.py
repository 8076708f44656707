"""The functions of the emulated Lambda and their execution environments."""

import asyncio
import logging
import time
from typing import Self

from modelyard.local.emulation.definitions import FunctionCall, FunctionDefinition, Outcome
from modelyard.local.emulation.environment import Environment, OnLine
from modelyard.local.emulation.placement import Placement, ThrottledError

logger = logging.getLogger(__name__)

IDLE_S = 600.0
"""How long idle environments are kept. Lambda's own time is undocumented; minutes are observed."""


class UnknownFunctionError(Exception):
    """No function has this name."""


class TenantMismatchError(Exception):
    """A tenant id is missing, or was given for a function without tenant isolation."""


class NotActiveError(Exception):
    """The function is not invoked, because Lambda prepares it."""


class InactiveError(NotActiveError):
    """The function was inactive; this invocation makes Lambda prepare it."""


class PendingError(NotActiveError):
    """Lambda is still preparing the function."""


class Function:
    """One function, with as many environments as its load needs."""

    def __init__(self, definition: FunctionDefinition, on_line: OnLine) -> None:
        self.definition = definition
        self._inactive_for_s: float | None = None
        self._active_at = 0.0
        self._environments = Placement(
            lambda: Environment(definition, on_line), definition.concurrency
        )

    def start(self, call: FunctionCall) -> asyncio.Task[Outcome]:
        """Start an invocation immediately.

        It runs to its end even if its caller stops waiting, as on Lambda. Loading models depends
        on this.

        Raises:
            NotActiveError: the function is inactive, or was when it was invoked last.
            ThrottledError: all environments of the function are busy.
            TenantMismatchError: a tenant id is missing, or was given without tenant isolation.
        """
        if self.definition.per_tenant != (call.tenant_id is not None):
            raise TenantMismatchError
        self._activate()
        environment = self._environments.take(call.tenant_id)
        return asyncio.create_task(self._run(environment, call))

    def deactivate(self, waking_s: float) -> None:
        """Make the function inactive, as Lambda does if it was not invoked for weeks.

        The next invocation fails, and so do all in the `waking_s` after it.
        """
        self._inactive_for_s = waking_s

    def _activate(self) -> None:
        now = time.monotonic()
        if self._inactive_for_s is not None:
            self._active_at, self._inactive_for_s = now + self._inactive_for_s, None
            raise InactiveError
        if now < self._active_at:
            raise PendingError

    async def reap(self, idle_s: float) -> None:
        """End the environments that have been idle for `idle_s`."""
        for environment in self._environments.reap(time.monotonic() - idle_s):
            await environment.end()

    async def end(self) -> None:
        """End all environments, including busy ones."""
        for environment in list(self._environments):
            await environment.end()

    async def _run(self, environment: Environment, call: FunctionCall) -> Outcome:
        try:
            return await environment.invoke(call)
        finally:
            self._environments.give_back(environment, call.tenant_id, time.monotonic())


class Functions:
    """All functions by name. Leaving the context ends every process."""

    def __init__(self, on_line: OnLine, idle_s: float = IDLE_S) -> None:
        self._on_line = on_line
        self._by_name: dict[str, Function] = {}
        self._idle_s = idle_s
        self._running: set[asyncio.Task[Outcome]] = set()
        self._reaper: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._reaper = asyncio.create_task(self._reap())
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._reaper is not None
        self._reaper.cancel()
        for task in self._running:
            task.cancel()
        await asyncio.gather(self._reaper, *self._running, return_exceptions=True)
        for function in self._by_name.values():
            await function.end()

    def define(self, definition: FunctionDefinition) -> None:
        """Add a function. Its first process starts with its first invocation."""
        self._by_name[definition.name] = Function(definition, self._on_line)

    def find(self, name: str) -> Function:
        """Return the function with this name.

        Raises:
            UnknownFunctionError: no function has this name.
        """
        try:
            return self._by_name[name]
        except KeyError:
            raise UnknownFunctionError(name) from None

    def start(self, name: str, call: FunctionCall) -> asyncio.Task[Outcome]:
        """Start an invocation in the background. Raises as `find` and `Function.start` do."""
        task = self.find(name).start(call)
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return task

    async def invoke(self, name: str, call: FunctionCall) -> Outcome:
        """Invoke and wait for the outcome. When this is cancelled, the invocation keeps running."""
        return await asyncio.shield(self.start(name, call))

    async def _reap(self) -> None:
        while True:
            await asyncio.sleep(min(self._idle_s, 1.0))
            for function in self._by_name.values():
                await function.reap(self._idle_s)


__all__ = [
    "Function",
    "Functions",
    "InactiveError",
    "NotActiveError",
    "PendingError",
    "TenantMismatchError",
    "ThrottledError",
    "UnknownFunctionError",
]
