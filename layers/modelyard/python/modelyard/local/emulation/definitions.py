"""The definition of a function, its invocations and their outcomes."""

import json
import sys
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

REGION = "us-east-1"
ACCOUNT = "000000000000"
MAX_PAYLOAD_BYTES = 6_291_556
"""Largest payload of a synchronous invocation, in each direction (AWS Lambda quota)."""


@dataclass(frozen=True, slots=True)
class FunctionDefinition:
    """One function as it would be deployed."""

    name: str
    folder: Path
    """The folder of its code, from which the handler's module is imported."""
    environ: Mapping[str, str] = field(default_factory=dict)
    """Its environment variables, without those that Lambda sets."""
    handler: str = "handler.handler"
    memory_mb: int = 128
    timeout_s: float = 3.0
    concurrency: int = 1000
    """Reserved concurrency: how many execution environments may run calls at a time."""
    per_tenant: bool = False
    """Whether an execution environment serves one tenant only (tenant isolation)."""
    snap_start: bool = False
    """Whether snapshot hooks run: in each environment, because a process cannot be copied here."""
    log_format: str = "Text"
    """How the runtime writes log records: `Text` or `JSON`."""
    python: str = sys.executable
    region: str = REGION
    init_limit_s: float = 10.0
    """Lambda's limit for the init phase of a function without provisioned concurrency."""

    @property
    def arn(self) -> str:
        """The ARN in the context that the handler gets."""
        return f"arn:aws:lambda:{self.region}:{ACCOUNT}:function:{self.name}"


def _trace_id() -> str:
    return f"Root=1-{int(time.time()):08x}-{uuid.uuid4().hex[:24]};Sampled=0"


@dataclass(frozen=True, slots=True)
class FunctionCall:
    """One invocation as a caller asks for it."""

    payload: bytes
    tenant_id: str | None = None
    client_context: str | None = None
    request_id: str = field(default_factory=lambda: str(uuid.uuid4()))
    trace_id: str = field(default_factory=_trace_id)


@dataclass(frozen=True, slots=True)
class Outcome:
    """The outcome of an invocation."""

    payload: bytes
    is_error: bool = False
    """Whether the function failed; then the payload describes the error."""
    log: str = ""
    """The lines that were printed during the invocation."""


def failure(error_type: str, message: str) -> Outcome:
    """Return the outcome of an invocation that Lambda itself ended."""
    return Outcome(json.dumps({"errorType": error_type, "errorMessage": message}).encode(), True)
