"""The inference backend on AWS: each shard of an endpoint is a Lambda function."""

import asyncio
import functools
import hashlib
import logging
import re
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, ReadTimeoutError
from botocore.session import get_session

from modelyard.aws.crash_bars import CrashBars
from modelyard.aws.function_table import EndpointFunctions
from modelyard.aws.invoke_errors import Refusal, refusal
from modelyard.aws.lambda_payload import parse_payload, render_payload
from modelyard.aws.reconnecting import reconnecting
from modelyard.domain import messages
from modelyard.domain.envelope import render_request
from modelyard.domain.errors import (
    CapacityError,
    DependencyError,
    ModelCrashedError,
    ModelError,
    ModelNotReadyError,
    ModelyardError,
    PayloadTooLargeError,
)
from modelyard.domain.ports import Clock
from modelyard.domain.requests import Answer, CallApi, Invoke, Load, Request, Survey
from modelyard.domain.values import ModelId

logger = logging.getLogger(__name__)

ANSWER_GRACE_S = 2.0
"""Time for the answer after the window; with the default window just below API Gateway's 29 s."""
SAME_SILENCE_S = 60.0
"""Silences of a model that are further apart than this belong to different loads.

SDKs wait for 20 s at most before they repeat a call, which lasts as long as the window.
"""
STARTING_ATTEMPTS = 5
"""How often a function that is starting is asked within the window of a call."""

_RETRY_AFTER_S = 5.0
_TENANT = re.compile(r"[A-Za-z0-9._:/=+\-@ ]{1,256}")
_OfModel = Invoke | Load | CallApi


class LambdaClients:
    """Lambda clients by read timeout, which the SDK sets per client. Threads may share this."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._session = functools.cache(get_session)
        self._clients: dict[float, Any] = {}

    def reading_for(self, timeout_s: float) -> Any:
        """Return a client that waits this long for an answer and never retries.

        A retry would load the model again in another execution environment. Only a request on a
        connection that was closed while the router was frozen is sent again.
        """
        with self._lock:
            if timeout_s not in self._clients:
                config = Config(
                    connect_timeout=2,
                    read_timeout=timeout_s,
                    retries={"total_max_attempts": 1},
                    max_pool_connections=50,
                    user_agent_extra="modelyard",
                )
                client = self._session().create_client("lambda", config=config)
                self._clients[timeout_s] = reconnecting(client)
            return self._clients[timeout_s]


class LambdaBackend:
    """`InferenceBackend` over the functions of one endpoint.

    Lambda does not end an invocation when its caller stops waiting. So a load that takes longer
    than the window is still completed.
    """

    def __init__(
        self,
        functions: EndpointFunctions,
        client_reading_for: Callable[[float], Any],
        clock: Clock,
        pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """`pause` waits for some seconds."""
        self._functions = functions
        self._client_reading_for = client_reading_for
        self._clock = clock
        self._pause = pause
        self._bars = CrashBars()
        self._silences: dict[ModelId, tuple[float, float]] = {}
        """When calls of a model began to be silent, and when the last one was."""

    @property
    def shards(self) -> int:
        """How many functions the endpoint has."""
        return self._functions.shards

    def prepare(self) -> None:
        """Create the client for calls of models now, so that no caller waits for it."""
        self._client_reading_for(self._functions.endpoint.sync_window_s + ANSWER_GRACE_S)

    def call_now(self, shard: int, request: Invoke) -> Answer | None:
        """Return the function's answer, or None while the function is starting.

        This waits for the answer, because the router handles one event at a time.

        Raises:
            As `call`.
        """
        try:
            with self._noting(request.source.model_id):
                return self._invoke(shard, request, request.window_s + ANSWER_GRACE_S)
        except _StartingError:
            return None

    async def call(self, shard: int, request: Request, timeout_s: float) -> Answer:
        """Return the function's answer.

        Raises:
            ModelNotReadyError: no answer within the window; the load continues. Or Lambda is
                still preparing the function.
            ModelError: no answer to repeated calls for longer than a load may take.
            TimeoutError: no answer to a request that is not about one model.
            ModelCrashedError: the model makes its execution environment crash.
            CapacityError: all execution environments of the function are busy.
            PayloadTooLargeError: the request is too large for Lambda.
            DependencyError: Lambda refuses the call or cannot be reached.
        """
        model_id = _model_of(request)
        if model_id is None:
            return await self._answer(shard, request, timeout_s)
        with self._noting(model_id):
            return await self._answer(shard, request, timeout_s)

    @contextmanager
    def _noting(self, model_id: ModelId) -> Iterator[None]:
        """Remember whether a call of a model is answered, times out or crashes the function.

        Raises:
            ModelCrashedError: the model is barred.
            ModelNotReadyError, ModelError: instead of TimeoutError.
        """
        self._bars.refuse_if_barred(model_id, self._clock.monotonic())
        try:
            yield
        except TimeoutError:
            raise self._silence(model_id) from None
        except ModelCrashedError:
            self._bars.crashed(model_id, self._clock.monotonic())
            raise
        self._silences.pop(model_id, None)
        self._bars.clear(model_id)

    async def _answer(self, shard: int, request: Request, timeout_s: float) -> Answer:
        """Return the function's answer; ask again while the function is starting.

        Callers of a function that was idle for weeks are held as those of a model that is loaded.
        """
        if not isinstance(request, _OfModel):
            try:
                return await self._ask(shard, request, timeout_s)
            except _StartingError as error:
                raise CapacityError("the function of the shard is starting") from error
        pause_s = request.window_s / STARTING_ATTEMPTS
        for _ in range(1, STARTING_ATTEMPTS):
            try:
                return await self._ask(shard, request, timeout_s)
            except _StartingError:
                await self._pause(pause_s)
                request = replace(request, window_s=request.window_s - pause_s)
        try:
            return await self._ask(shard, request, timeout_s)
        except _StartingError as error:
            target_model = request.source.target_model
            message = messages.function_starting(target_model)
            raise ModelNotReadyError(message, _RETRY_AFTER_S, target_model) from error

    async def _ask(self, shard: int, request: Request, timeout_s: float) -> Answer:
        """Return the function's answer.

        The router handles one event at a time, so a call of a model may block the event loop; a
        thread would take longer than choosing the shard. A survey asks all shards concurrently.
        """
        if isinstance(request, Survey):
            return await asyncio.to_thread(self._invoke, shard, request, timeout_s)
        return self._invoke(shard, request, timeout_s)

    def _invoke(self, shard: int, request: Request, timeout_s: float) -> Answer:
        function_name = self._functions.function_name(shard)
        if isinstance(request, Invoke) and request.payload.takes_parts:
            # a function's answer arrives when it is complete
            request = replace(request, payload=replace(request.payload, takes_parts=False))
        payload = render_payload(render_request(request))
        try:
            client = self._client_reading_for(_read_timeout_s(request, timeout_s))
            answer = client.invoke(
                FunctionName=function_name, Payload=payload, **self._tenant(request)
            )
            content = answer["Payload"].read()
        except ReadTimeoutError as error:
            raise TimeoutError from error
        except ClientError as error:
            raise _refused(error, function_name) from error
        except BotoCoreError as error:
            logger.error("function not reached", extra={"reason": str(error)})
            raise DependencyError("the inference function cannot be reached") from error
        if "FunctionError" in answer:
            raise _failed(content, function_name)
        return parse_payload(content)

    def _tenant(self, request: Request) -> dict[str, str]:
        """Return the parameter that gives each model its own execution environments."""
        if not self._functions.per_tenant:
            return {}
        model_id = _model_of(request)
        name = str(model_id.target_model) if model_id is not None else "modelyard"
        if not _TENANT.fullmatch(name):
            name = hashlib.blake2b(name.encode(), digest_size=20).hexdigest()
        return {"TenantId": name}

    def _silence(self, model_id: ModelId) -> ModelyardError:
        """Return the error for a model that did not answer in time.

        Other execution environments of the router may have had its answers meanwhile. So only
        silences that follow each other closely are taken for those of one load, which is over, or
        hangs, when the function's own timeout has passed.
        """
        now = self._clock.monotonic()
        since, last = self._silences.get(model_id, (now, now))
        if now - last > SAME_SILENCE_S + self._functions.endpoint.sync_window_s:
            since = now
        self._silences[model_id] = since, now
        if now - since > self._functions.timeout_s:
            return ModelError(messages.MODEL_TIMED_OUT, original_status=0)
        return ModelNotReadyError(
            messages.not_ready(model_id.target_model),
            retry_after_s=_RETRY_AFTER_S,
            target_model=model_id.target_model,
        )


class _StartingError(Exception):
    """Lambda is still preparing the function."""


def _model_of(request: Request) -> ModelId | None:
    return request.source.model_id if isinstance(request, _OfModel) else None


def _read_timeout_s(request: Request, timeout_s: float) -> float:
    if isinstance(request, _OfModel):
        return min(timeout_s, request.window_s + ANSWER_GRACE_S)
    return timeout_s


def _refused(error: ClientError, function_name: str) -> Exception:
    code = error.response.get("Error", {}).get("Code", "")
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    kind = refusal(code, status)
    fields = {"function": function_name, "reason": str(error)}
    match kind:
        case Refusal.STARTING:
            logger.warning("function is starting", extra=fields)
            return _StartingError(code)
        case Refusal.BUSY:
            return CapacityError("all execution environments of the model's shard are busy")
        case Refusal.TOO_LARGE:
            return PayloadTooLargeError("the request is larger than Lambda accepts")
        case Refusal.BROKEN:
            logger.error("function refused", extra=fields)
            return DependencyError(f"the inference function refused the call: {code}")


def _failed(content: bytes, function_name: str) -> ModelyardError:
    """Return the error of an invocation that ended without an answer.

    Lambda reports a timeout only by its text ("... Task timed out after ...").
    """
    text = content.decode(errors="replace")
    logger.error("function failed", extra={"function": function_name, "reason": text[:500]})
    if "Task timed out" in text:
        return ModelError(messages.MODEL_TIMED_OUT, original_status=0)
    return ModelCrashedError(messages.MODEL_PROCESS_EXITED)
