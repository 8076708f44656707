"""The command `dead-letters`: models that could not be loaded in the background."""

import json
from contextlib import ExitStack, closing
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from modelyard.cli.console import errors_as_red_lines
from modelyard.cli.options import FOLDER, json_option, user_cache_dir
from modelyard.domain.errors import ConfigurationError

if TYPE_CHECKING:
    from modelyard.domain.ports import DeadLetters
    from modelyard.domain.values import DeadLetter, WarmRequest


@click.command()
@click.option(
    "--queue-url",
    metavar="URL",
    show_default="the queues of local servers",
    help="URL of a deployment's dead-letter queue: the output DeadLetters of its stack.",
)
@click.option(
    "--cache-dir",
    type=FOLDER,
    show_default="~/.cache/modelyard",
    help="Cache folder of local servers, as given to serve.",
)
@click.option(
    "--redrive",
    is_flag=True,
    help="Put the messages back on the warm queue, so that they are tried again.",
)
@json_option
def dead_letters(
    queue_url: str | None, cache_dir: Path | None, redrive: bool, as_json: bool
) -> None:
    """List models that could not be loaded in the background.

    A model is given up after five attempts.
    """

    with errors_as_red_lines(), ExitStack() as stack:
        queues = _queues(queue_url, cache_dir, stack)
        if redrive:
            count = sum(queue.redrive() for queue in queues)
            click.echo(json.dumps({"redriven": count}) if as_json else _redriven(count))
            return
        letters = [letter for queue in queues for letter in queue.all()]
    letters.sort(key=lambda letter: letter.failed_at)
    if as_json:
        click.echo(
            json.dumps(
                [asdict(letter.request) | {"failed_at": letter.failed_at} for letter in letters]
            )
        )
    else:
        _print(letters)


def _queues(queue_url: str | None, cache_dir: Path | None, stack: ExitStack) -> list["DeadLetters"]:
    if queue_url is None:
        return [*_local_queues(cache_dir, stack)]
    if cache_dir is not None:
        raise ConfigurationError("--queue-url cannot be used with --cache-dir.")
    from modelyard.clients.sdk import import_boto3

    import_boto3()
    from modelyard.aws.dead_letters import SqsDeadLetters, build_client

    return [SqsDeadLetters(queue_url, build_client(queue_url))]


def _local_queues(cache_dir: Path | None, stack: ExitStack) -> list["DeadLetters"]:
    """Return the queue of every local server that used the cache folder; it may be running."""
    from modelyard.domain.system_clock import SystemClock
    from modelyard.domain.warm_message import WARM_MESSAGES
    from modelyard.local.sqlite_queue import FILE_PATTERN, SqliteQueue

    files = sorted((cache_dir or user_cache_dir()).glob(FILE_PATTERN))
    clock = SystemClock()
    queues = (SqliteQueue(file, clock, WARM_MESSAGES, mends=False) for file in files)
    return [stack.enter_context(closing(queue)) for queue in queues]


def _redriven(count: int) -> str:
    return f"{count} dead letters go back to the warm queue" if count else "no dead letters"


def _print(letters: list["DeadLetter[WarmRequest]"]) -> None:
    from modelyard.domain.keys import render_moment

    if not letters:
        click.echo("no dead letters")
    for letter in letters:
        request = letter.request
        moment = render_moment(letter.failed_at)
        click.echo(f"{moment}  {request.endpoint_name}  {request.target_model}")
