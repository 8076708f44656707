"""What the repositories of a server hold: looked at once, before the server listens."""

import shlex
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import quote

from modelyard.domain import model_files
from modelyard.domain.endpoints import Endpoint
from modelyard.domain.errors import (
    ConfigurationError,
    ModelyardError,
    RepositoryMissingError,
)
from modelyard.domain.foreign_formats import why_not_served
from modelyard.domain.model_files import Role
from modelyard.domain.ports import ModelRepository
from modelyard.domain.values import StoredObject, TargetModel
from modelyard.repositories.opening import open_repository
from modelyard.router.catalog import can_be_called, targets_in
from modelyard.runtimes.row_width import row_width

LOOK_S = 3.0
"""How long the start waits for a repository."""
MAX_OBJECTS = 100_000
"""How many objects of a repository are counted."""
MAX_EXAMPLE_BYTES = 1 << 20
"""The largest model that is read to make an example."""
_EXAMPLES_TRIED = 5
_CURL = {
    "none": "curl",
    "key": 'curl -H "x-api-key: $MODELYARD_KEY"',
    "iam": 'curl --aws-sigv4 aws:amz:us-east-1:execute-api --user "$AWS_ACCESS_KEY_ID:'
    '$AWS_SECRET_ACCESS_KEY" -H "x-amz-security-token: $AWS_SESSION_TOKEN"',
}
"""The beginning of a call, by how callers authenticate."""


@dataclass(frozen=True, slots=True)
class Survey:
    """What was found in the repository of one endpoint."""

    endpoint: Endpoint
    models: int = 0
    is_complete: bool = True
    """Whether there are no more than these."""
    others: tuple[tuple[str, str], ...] = ()
    """The files that are not taken for models, each with the reason."""
    example: tuple[TargetModel, int | None] | None = None
    """A model for an example call, and the length of a row that it takes, if that is known."""
    refused: int = 0
    """How many more models `modelyard models` lists, which are likely refused, by their names."""
    problem: str | None = None
    """Why the repository could not be read now; calls try it again."""

    @property
    def is_empty(self) -> bool:
        """Whether it was read to its end and has nothing that looks like a model."""
        return self.problem is None and self.is_complete and not (self.models or self.others)

    def example_call(self, url: str, *, auth: str = "none") -> str | None:
        """Return a call with curl that the server at `url` answers, or None without a model.

        Where no row is known, it asks for the model's inputs.
        """
        if self.example is None:
            return None
        name, width = self.example
        base = f"{url}/endpoints/{self.endpoint.name}"
        curl = _CURL[auth]
        if width is None:
            return f"{curl} {shlex.quote(f'{base}/v2/models/{quote(name)}')}"
        model = shlex.quote(f"X-Amzn-SageMaker-Target-Model: {name}")
        row = ",".join(["1"] * width)
        return f"{curl} {base}/invocations -H {model} -H 'Content-Type: text/csv' -d {row}"


class SurveyOfAll:
    """Asks all repositories at the same time, in threads, while the server starts."""

    def __init__(self, endpoints: Sequence[Endpoint]) -> None:
        deadline = time.monotonic() + LOOK_S
        self._looks = [_Look(endpoint, deadline) for endpoint in endpoints]

    def results(self) -> list[Survey]:
        """Return what the repositories hold, `LOOK_S` after the beginning at the latest.

        Raises:
            ConfigurationError: a repository cannot be opened, or does not exist.
        """
        return [look.result() for look in self._looks]


class _Look:
    """Surveys one repository in a thread, which does not keep the process alive."""

    def __init__(self, endpoint: Endpoint, deadline: float) -> None:
        self._endpoint = endpoint
        self._deadline = deadline
        self._outcome: Survey | ModelyardError | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def result(self) -> Survey:
        self._thread.join(max(0.0, self._deadline - time.monotonic()))
        match self._outcome:
            case ConfigurationError() as error:
                raise error
            case RepositoryMissingError() as error:
                raise ConfigurationError(error.message)
            case ModelyardError() as error:
                return Survey(self._endpoint, problem=error.message)
            case Survey() as found:
                return found
            case None:
                late = f"{self._endpoint.repository} has not answered within {LOOK_S:.0f} s"
                return Survey(self._endpoint, problem=late)

    def _run(self) -> None:
        try:
            self._outcome = survey(self._endpoint, self._deadline)
        except ModelyardError as error:
            self._outcome = error


def survey(endpoint: Endpoint, deadline: float) -> Survey:
    """Return what a repository holds, as far as it can be listed until `deadline` (monotonic).

    Raises:
        ConfigurationError: the repository cannot be opened, or does not exist.
        DependencyError: it does not answer, or may not be listed.
    """
    repository = open_repository(endpoint.repository)
    objects: list[StoredObject] = []
    is_complete = True
    for item in repository.objects():
        if len(objects) == MAX_OBJECTS or time.monotonic() > deadline:
            is_complete = False
            break
        objects.append(item)
    sizes = targets_in(objects)
    refused: dict[str, str] = {
        name: why
        for name in sizes
        if (why := why_not_served(name, allow_code=endpoint.allow_code)) is not None
    }
    listed = model_files.targets(item.key for item in objects)
    in_models = {key for keys in listed.values() for key in keys}
    others = [(name, _NOT_CALLABLE) for name in listed if not can_be_called(name)]
    others += [
        (item.key, _BY_NAME)
        for item in objects
        if item.key not in in_models and model_files.role_of(_base(item.key)) is Role.COMPANION
    ]
    served = {name: size for name, size in sizes.items() if name not in refused}
    example = _example(repository, served)
    unserved: list[tuple[str, str]] = [*sorted(refused.items()), *sorted(others)]
    return Survey(
        endpoint, len(served), is_complete, tuple(unserved), example, refused=len(refused)
    )


_NOT_CALLABLE = "no caller can send this name; allowed: printable ASCII without a backslash"
_BY_NAME = "by its name no model; rename it if it is one"


def _base(key: str) -> str:
    return key.rpartition("/")[2]


def _example(
    repository: ModelRepository, sizes: dict[TargetModel, int]
) -> tuple[TargetModel, int | None] | None:
    """Return one of the smallest models, one whose row is known if there is one."""
    smallest = sorted(sizes, key=lambda name: (sizes[name], name))[:_EXAMPLES_TRIED]
    for name in smallest:
        if 0 < sizes[name] <= MAX_EXAMPLE_BYTES:
            width = _width(repository, name)
            if width is not None:
                return name, width
    return (smallest[0], None) if smallest else None


def _width(repository: ModelRepository, name: TargetModel) -> int | None:
    try:
        artifact = repository.describe(name)
        for file in repository.fetch(artifact):
            is_alone = not artifact.is_folder
            return row_width(name, file.stream.read(MAX_EXAMPLE_BYTES)) if is_alone else None
    except ModelyardError:  # it is just being written, for example
        return None
    return None
