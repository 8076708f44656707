"""The clients of others, in environments of their own: they need older packages than others."""

from pathlib import Path

import pytest

BUILD = Path(__file__).parents[2] / "build"


def client_python(client: str) -> Path:
    """Return the interpreter of a client's environment."""
    return BUILD / client / "venv/bin/python"


def needs(client: str) -> pytest.MarkDecorator:
    """Return the mark of tests that are skipped where the client is not installed."""
    is_missing = not client_python(client).is_file()
    return pytest.mark.skipif(is_missing, reason=f"make clients installs {client}")
