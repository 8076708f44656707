"""Prints docs/reference.md, the commands and config keys as the code has them: `make reference`."""

from collections.abc import Iterator
from typing import Any, cast

import click
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from modelyard.cli.main import app
from modelyard.config.schema import Deployment, MultiModelEndpoint

_WIDTH = 100
_HEAD = """# Commands and config keys

Written from the code by `make reference`: what `--help` prints, and what a config takes.
[settings.md](settings.md) says what they are for.
"""


def rendered() -> str:
    """Return the page."""
    parts = [_HEAD]
    for name, command in cast(click.Group, app).commands.items():
        parts += [f"## `modelyard {name}`\n", f"```text\n{_help(name, command)}\n```\n"]
        for below, one in getattr(command, "commands", {}).items():
            parts.append(f"```text\n{_help(f'{name} {below}', one)}\n```\n")
    for kind in (MultiModelEndpoint, Deployment):
        table = "\n".join(f"| `{key}` | {allowed} |" for key, allowed in _keys(kind))
        parts += [f"## `kind: {kind.__name__}`\n", f"| key | allowed |\n|---|---|\n{table}\n"]
    return "\n".join(parts)


def _help(name: str, command: click.Command) -> str:
    settings: Any = cast(click.Group, app).context_settings
    context = click.Context(command, info_name=f"modelyard {name}", **settings)
    context.terminal_width = _WIDTH
    lines = command.get_help(context).splitlines()
    return "\n".join(line.rstrip() for line in lines)


def _keys(section: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, str]]:
    for name, field in section.model_fields.items():
        inner = _section(field.annotation)
        key = prefix + name
        if inner is None:
            yield key, _allowed(field)
        else:
            yield from _keys(inner, f"{key}.")


def _section(annotation: Any) -> type[BaseModel] | None:
    """Return the class of a section, also of one that may be left out or is in a list."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    found = map(_section, getattr(annotation, "__args__", ()))
    return next((one for one in found if one is not None), None)


def _allowed(field: FieldInfo) -> str:
    kind = getattr(field.annotation, "__args__", ("",))[0]
    text = field.description or str(kind)
    return f"{text} (required)" if field.default is PydanticUndefined else text


if __name__ == "__main__":
    print(rendered(), end="")  # noqa: T201
