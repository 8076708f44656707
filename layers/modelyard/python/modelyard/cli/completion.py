"""The option --install-completion: names of commands and options are completed in the shell."""

import os
from pathlib import Path

import click
from click.shell_completion import get_completion_class

from modelyard.domain.errors import ConfigurationError

_PROGRAM = "modelyard"
_VARIABLE = "_MODELYARD_COMPLETE"
"""click's entry point answers the shell's questions if it is set."""
_START_FILES = {"bash": ".bashrc", "zsh": ".zshrc", "fish": ".config/fish/config.fish"}


def install_completion(command: click.Command, shell_path: str, home: Path) -> Path:
    """Write the completion script of a shell; returns the file that the shell reads at its start.

    Raises:
        ConfigurationError: there is no completion for this shell, or a file cannot be written.
    """
    shell = Path(shell_path).name
    completion = get_completion_class(shell)
    if completion is None or shell not in _START_FILES:
        raise ConfigurationError(
            f"found the shell {shell or 'unknown'!r}; allowed: {', '.join(_START_FILES)}"
        )
    data_dir = Path(os.environ.get("XDG_DATA_HOME") or home / ".local" / "share") / _PROGRAM
    script, start = data_dir / f"completion.{shell}", home / _START_FILES[shell]
    line = f"source '{script}'\n"
    try:
        data_dir.mkdir(parents=True, exist_ok=True)
        script.write_text(completion(command, {}, _PROGRAM, _VARIABLE).source())
        start.parent.mkdir(parents=True, exist_ok=True)
        if not start.exists() or line not in start.read_text():
            with start.open("a") as file:
                file.write(f"\n{line}")
    except OSError as error:
        raise ConfigurationError(f"{error.filename} cannot be written: {error.strerror}") from error
    return start
