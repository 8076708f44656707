"""Triton's own client, in an environment of its own: it needs an older protobuf than others."""

from pathlib import Path

import pytest

PYTHON = Path(__file__).parents[2] / "build/tritonclient/venv/bin/python"


def tritonclient_python() -> str:
    """Return the interpreter that has it; the test is skipped without."""
    if not PYTHON.is_file():
        pytest.skip("make tritonclient installs the client")
    return str(PYTHON)
