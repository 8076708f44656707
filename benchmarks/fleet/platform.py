"""The assumptions about AWS and about models; the project's own numbers are imported."""

from dataclasses import dataclass
from typing import Literal

from modelyard.aws.cost.bills import Cache
from modelyard.aws.deployed import RUNTIME_BYTES
from modelyard.aws.lambda_backend import ANSWER_GRACE_S
from modelyard.config.schema import Compute, Deployment
from modelyard.domain.endpoints import Endpoint

MIB = 1 << 20
GIB = 1 << 30
DISK_BYTES: int = Deployment.model_fields["disk"].default


@dataclass(frozen=True, slots=True, kw_only=True)
class Platform:
    """One account, one region, one endpoint; a scenario may change every number."""

    memory_bytes: int = Compute().memory
    cold_start_s: float = 2.0
    """Seconds before the first call of an environment: start of the image, mount, imports."""
    idle_s: float = 600.0
    """Lambda removes an environment after this idle time; AWS documents no number."""
    concurrency: int = 1_000
    """Environments that may be busy at once: the default quota of an account."""
    shard_concurrency: int | None = None
    """The same for each shard: its reserved concurrency."""
    tenants_per_concurrency: float = 2.5
    """Environments, busy or idle, that tenant isolation allows per unit of concurrency."""
    placement: Literal["latest", "random"] = "latest"
    """Which idle environment gets the next call; Lambda's own rule is not documented."""

    predict_s: float = 0.05
    router_s: float = 0.015
    """Seconds that API Gateway and the router add to a call."""
    window_s: float = Endpoint("", "").sync_window_s
    grace_s: float = ANSWER_GRACE_S
    """Seconds that the router waits longer than the window."""
    warmers: int = 10
    """Number of warm messages that are processed at the same time."""

    cache: Cache = Cache.BURSTING
    """Artifacts are staged on one file system for all, or in each environment's own /tmp."""
    disk_bytes: int = DISK_BYTES
    tmp_bytes: int = 9 * GIB
    bursting_bytes_per_s: float = 100 * MIB
    """Metered throughput of the whole file system while it has credits."""
    elastic_bytes_per_s: float = 1 * GIB
    """The same for an elastic one: 3 GiB of reads a second."""
    efs_read_weight: float = 1 / 3
    """Reading a byte counts as a third of writing one."""
    efs_client_bytes_per_s: float = 500 * MIB
    s3_latency_s: float = 0.1
    s3_bytes_per_s: float = 75 * MIB
    """Per environment; its network is the limit, not S3."""

    load_latency_s: float = 0.03
    load_bytes_per_s: float = 300 * MIB
    """Bytes per second from a file to a loaded model, on about one processor."""
    resident_factor: float = 1.1
    """Bytes in memory for each byte of artifact; an ONNX session."""
    peak_factor: float = 2.0
    """The same while it is loaded."""

    @property
    def model_bytes(self) -> int:
        """Memory of an environment that models may use, in bytes."""
        return self.memory_bytes - RUNTIME_BYTES

    @property
    def largest_artifact_bytes(self) -> int:
        """The largest artifact that can be loaded at all."""
        return int(self.model_bytes / self.peak_factor)

    @property
    def resident_artifact_bytes(self) -> float:
        """Bytes of artifacts whose models fill the memory of an environment."""
        return self.model_bytes / self.resident_factor

    @property
    def memory_gb(self) -> float:
        """The function's memory as it is billed."""
        return self.memory_bytes / GIB

    def load_s(self, artifact_bytes: int) -> float:
        """Return the seconds of a load from files to memory."""
        return self.load_latency_s + artifact_bytes / self.load_bytes_per_s
