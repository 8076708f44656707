"""What a function is made of, and what an invocation of it asks and gives."""

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
"""Of a synchronous invocation, in either direction (AWS Lambda quota)."""


@dataclass(frozen=True, slots=True)
class FunctionDefinition:
    """One function as it would be deployed."""

    name: str
    folder: Path
    """Where its code is; the handler's module is imported from here."""
    environ: Mapping[str, str] = field(default_factory=dict)
    """All variables it sees, besides those that Lambda sets."""
    handler: str = "handler.handler"
    memory_mb: int = 128
    timeout_s: float = 3.0
    concurrency: int = 1000
    """How many execution environments it may have at work: its reserved concurrency."""
    per_tenant: bool = False
    """Whether an execution environment serves one tenant only (tenant isolation)."""
    snap_start: bool = False
    """Whether its hooks run as for a snapshot; the process cannot be copied, so each runs them."""
    log_format: str = "Text"
    """How the runtime writes log records: `Text` or `JSON`."""
    python: str = sys.executable
    region: str = REGION
    init_limit_s: float = 10.0
    """What Lambda grants the init phase of a function without provisioned concurrency."""

    @property
    def arn(self) -> str:
        """The name that the handler's context shows."""
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
    """What an invocation came to."""

    payload: bytes
    is_error: bool = False
    """Whether the function failed; the payload says how."""
    log: str = ""
    """What was printed during the invocation."""


def failure(error_type: str, message: str) -> Outcome:
    """Return the outcome of an invocation that Lambda itself had to end."""
    return Outcome(json.dumps({"errorType": error_type, "errorMessage": message}).encode(), True)
