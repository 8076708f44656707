"""The command `demo`: run the example with ten models, which the wheel carries."""

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import click

import modelyard
from modelyard.cli.console import errors_as_red_lines
from modelyard.cli.options import user_cache_dir
from modelyard.domain.errors import ConfigurationError

_PACKAGE = Path(modelyard.__file__).parent
_FOLDERS = (_PACKAGE / "examples" / "home-value", _PACKAGE.parents[3] / "examples" / "home-value")
"""Where the example is in an installed package, and in a checkout."""
_NEEDED = ("boto3", "xgboost", "numpy")


@click.command()
def demo() -> None:
    """Train ten small models, serve them and call them."""
    with errors_as_red_lines():
        script = demo_script()
    environment = os.environ | {"MODELYARD_DEMO_MODELS": str(user_cache_dir() / "demo")}
    # The scripts of the example import each other by the names of their files.
    ended = subprocess.run([sys.executable, script], env=environment, check=False)  # noqa: S603
    raise click.exceptions.Exit(ended.returncode)


def demo_script() -> Path:
    """Return the program of the demo.

    Raises:
        ConfigurationError: it is not there, or a package that it needs is missing.
    """
    missing = [name for name in _NEEDED if find_spec(name) is None]
    if missing:
        raise ConfigurationError(
            f"the demo needs packages that are missing: {', '.join(missing)};"
            " pip install 'modelyard[serve,xgboost]'"
        )
    for folder in _FOLDERS:
        if (folder / "demo.py").is_file():
            return folder / "demo.py"
    raise ConfigurationError("this installation of Modelyard has no examples")
