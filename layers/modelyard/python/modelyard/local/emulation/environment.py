"""One execution environment: a runtime that is started, frozen, resumed and killed as on Lambda."""

import asyncio
import logging
import platform
import time
import uuid
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime

from modelyard.local.emulation.definitions import (
    MAX_PAYLOAD_BYTES,
    FunctionCall,
    FunctionDefinition,
    Outcome,
    failure,
)
from modelyard.local.emulation.memory_limit import MemoryLimit, memory_limit
from modelyard.local.emulation.runtime_api import Asked, Exited, Reported, Work
from modelyard.local.emulation.runtime_process import RuntimeProcess

logger = logging.getLogger(__name__)

OnLine = Callable[[str, str], None]
"""Gets the name of a function and a line that it printed."""


class Environment:
    """Runs one invocation at a time and replaces its runtime when that ended."""

    def __init__(
        self,
        function: FunctionDefinition,
        on_line: OnLine,
        limit_memory: Callable[[int], MemoryLimit] = memory_limit,
    ) -> None:
        self._function = function
        self._on_line = on_line
        self._limit_memory = limit_memory
        # Handlers use this name as the identity of their environment, so it must be unique.
        self._log_stream = f"{datetime.now(UTC):%Y/%m/%d}/[$LATEST]{uuid.uuid4().hex}"
        self._runtime: RuntimeProcess | None = None
        self._log: list[str] = []

    @property
    def pid(self) -> int | None:
        """The process group of the runtime, if it is running."""
        return None if self._runtime is None else self._runtime.pid

    async def invoke(self, call: FunctionCall) -> Outcome:
        """Run one invocation until it ends in any way, then freeze the runtime."""
        self._log = []
        init_s = await self._initialise()
        self._print(f"START RequestId: {call.request_id} Version: $LATEST")
        began = time.monotonic()
        try:
            async with asyncio.timeout(self._function.timeout_s):
                outcome = await self._run(call)
        except TimeoutError:
            # Lambda ends all processes of the environment; only /tmp stays.
            await self.end()
            outcome = self._timed_out(call)
        if self._runtime is not None:
            self._runtime.freeze()
        self._report(call, time.monotonic() - began, init_s)
        return replace(_limited(outcome), log="\n".join(self._log) + "\n")

    async def end(self) -> None:
        """Kill the runtime, if there is one."""
        runtime, self._runtime = self._runtime, None
        if runtime is not None:
            await runtime.end()

    async def _initialise(self) -> float | None:
        """Run the init phase if there is no runtime; return how long it took.

        When it fails or takes too long, Lambda repeats it inside the invocation, within the
        function's timeout. The caller learns only the outcome of that second attempt.
        """
        if self._runtime is not None:
            return None
        began = time.monotonic()
        try:
            async with asyncio.timeout(self._function.init_limit_s):
                failed = await self._start()
        except TimeoutError:
            self._print(f"INIT_REPORT Status: timeout after {self._function.init_limit_s:g} s")
            await self.end()
        else:
            if failed is not None:
                self._print("INIT_REPORT Status: error")
        return time.monotonic() - began

    async def _start(self) -> Outcome | None:
        """Start the runtime; return the outcome if it failed to start."""
        function = self._function
        limit = self._limit_memory(function.memory_mb)
        arguments = ("-m", "awslambdaric", function.handler)
        self._runtime = await RuntimeProcess.start(
            function.python, arguments, function.folder, self._variables(), self._print, limit
        )
        return await self._until_asked(self._runtime, "")

    async def _run(self, call: FunctionCall) -> Outcome:
        if self._runtime is None and (failed := await self._start()) is not None:
            return failed
        assert self._runtime is not None
        self._runtime.resume()
        self._runtime.give(self._work(call))
        answered = await self._until_asked(self._runtime, call.request_id)
        return answered or failure("Runtime.Unknown", "the runtime skipped the invocation")

    async def _until_asked(self, runtime: RuntimeProcess, request_id: str) -> Outcome | None:
        """Return what the runtime reported before it asked for the next invocation or exited."""
        outcome = None
        while True:
            match await runtime.next_signal():
                case Reported(payload, is_error):
                    outcome = Outcome(payload, is_error)
                case Asked():
                    return outcome
                case Exited(code):
                    await self.end()
                    return outcome or _exit_failure(request_id, code)

    def _work(self, call: FunctionCall) -> Work:
        return Work(
            request_id=call.request_id,
            payload=call.payload,
            deadline_ms=int((time.time() + self._function.timeout_s) * 1000),
            function_arn=self._function.arn,
            trace_id=call.trace_id,
            tenant_id=call.tenant_id,
            client_context=call.client_context,
        )

    def _variables(self) -> dict[str, str]:
        function = self._function
        version = platform.python_version_tuple()
        return {
            **function.environ,
            "AWS_DEFAULT_REGION": function.region,
            "AWS_EXECUTION_ENV": f"AWS_Lambda_python{version[0]}.{version[1]}",
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(function.memory_mb),
            "AWS_LAMBDA_FUNCTION_NAME": function.name,
            "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
            "AWS_LAMBDA_INITIALIZATION_TYPE": "snap-start" if function.snap_start else "on-demand",
            "AWS_LAMBDA_LOG_FORMAT": function.log_format,
            "AWS_LAMBDA_LOG_GROUP_NAME": f"/aws/lambda/{function.name}",
            "AWS_LAMBDA_LOG_STREAM_NAME": self._log_stream,
            "AWS_REGION": function.region,
            "LAMBDA_TASK_ROOT": str(function.folder),
            "TZ": ":UTC",
            "_HANDLER": function.handler,
        }

    def _timed_out(self, call: FunctionCall) -> Outcome:
        now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        text = (
            f"{now} {call.request_id} Task timed out after {self._function.timeout_s:.2f} seconds"
        )
        self._print(text)
        return failure("Sandbox.Timedout", text)

    def _report(self, call: FunctionCall, duration_s: float, init_s: float | None) -> None:
        used = 0 if self._runtime is None else self._runtime.memory_bytes
        parts = [
            f"REPORT RequestId: {call.request_id}",
            f"Duration: {duration_s * 1000:.2f} ms",
            f"Memory Size: {self._function.memory_mb} MB",
            f"Max Memory Used: {used // 1024**2} MB",
        ]
        if init_s is not None:
            parts.append(f"Init Duration: {init_s * 1000:.2f} ms")
        self._print(f"END RequestId: {call.request_id}")
        self._print("\t".join(parts))

    def _print(self, line: str) -> None:
        self._log.append(line)
        self._on_line(self._function.name, line)


def _exit_failure(request_id: str, code: int) -> Outcome:
    reason = f"signal: {_SIGNALS.get(-code, -code)}" if code < 0 else f"exit status {code}"
    return failure(
        "Runtime.ExitError", f"RequestId: {request_id} Error: Runtime exited with error: {reason}"
    )


_SIGNALS = {6: "aborted", 9: "killed", 11: "segmentation fault", 15: "terminated"}


def _limited(outcome: Outcome) -> Outcome:
    if len(outcome.payload) <= MAX_PAYLOAD_BYTES:
        return outcome
    return failure(
        "Function.ResponseSizeTooLarge",
        f"Response payload size exceeded maximum allowed payload size ({MAX_PAYLOAD_BYTES} bytes).",
    )
