"""The deployments that the tests look at; each is synthesised once, and examined by cdk-nag."""

from pathlib import Path

import pytest

from tests.infra.synthesis import PROJECTS, Synthesis, examine


@pytest.fixture(scope="session")
def assemblies(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where assemblies are written."""
    return tmp_path_factory.mktemp("assemblies")


@pytest.fixture(scope="session")
def plain(assemblies: Path) -> Synthesis:
    """Two endpoints, everything by default: IAM, shards, EFS, arm64, buckets of somebody else."""
    return examine(PROJECTS / "plain.yaml", assemblies / "plain")


@pytest.fixture(scope="session")
def changed(assemblies: Path) -> Synthesis:
    """Keys, tenants, /tmp, x86_64, buckets of its own, flow logs."""
    return examine(PROJECTS / "all-changed.yaml", assemblies / "changed")


@pytest.fixture(scope="session")
def private(assemblies: Path) -> Synthesis:
    """A private API without authentication; elastic EFS."""
    return examine(PROJECTS / "private.yaml", assemblies / "private")


@pytest.fixture(scope="session")
def operated(assemblies: Path) -> Synthesis:
    """An existing network, a KMS key, a boundary, callers of another account, tracing; frugal."""
    return examine(PROJECTS / "operated.yaml", assemblies / "operated")


@pytest.fixture(scope="session")
def cortex(assemblies: Path) -> Synthesis:
    """A Cortex project whose model is in S3."""
    return examine(PROJECTS / "cortex" / "cortex.yaml", assemblies / "cortex")
