"""Which models of a repository a call would be answered by, and what is wrong with the others.

Each model of a local folder is staged and loaded once, as a first call does it, in a process of
its own. Models in buckets are judged by their names and sizes only: nothing is downloaded.
"""

import multiprocessing
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, closing
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from pathlib import Path

from modelyard.domain import foreign_formats, model_files
from modelyard.domain.endpoints import Endpoint
from modelyard.domain.errors import ModelCrashedError, ModelyardError
from modelyard.domain.model_files import Role
from modelyard.domain.values import ModelSource, StoredObject, TargetModel
from modelyard.router.catalog import can_be_called, targets_in

_STDOUT, _STDERR = 1, 2
LOAD_TIMEOUT_S = 360.0
"""As long as a load may take on a server."""

Progress = Callable[..., AbstractContextManager[Callable[[], None]]]
"""Shows progress: called with a title and a total, it gives what is called after each step."""


@dataclass(frozen=True, slots=True)
class ModelReport:
    """One target model of a repository and what is wrong with it."""

    target_model: str
    kind: str
    """The runtime that loads it; `unknown` when no model was found, `archive` when not unpacked."""
    size_bytes: int
    files: tuple[str, ...] = ()
    """What a folder holds, relative to it."""
    problems: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class EndpointReport:
    """All target models of an endpoint, the same as `modelyard models` lists, by name."""

    models: tuple[ModelReport, ...]
    warnings: tuple[str, ...] = ()


def check_models(endpoint: Endpoint, progress: Progress, only: str | None = None) -> EndpointReport:
    """Return what an endpoint's repository offers and whether it can be served.

    `only` is the one file of the repository that is checked; None stands for all.

    Raises:
        DependencyError: the repository cannot be listed.
    """
    from modelyard.repositories.opening import open_repository

    objects = list(open_repository(endpoint.repository).objects(only or ""))
    keys = model_files.targets(item.key for item in objects)
    warnings = [
        f"{name!r} is not served: no caller can send its name; allowed: up to 1024 printable "
        "ASCII characters without a backslash"
        for name in keys
        if not can_be_called(name)
    ]
    if not endpoint.repository.startswith("file:"):
        warnings.append(f"{endpoint.repository}: models are judged by their names and sizes only")
        reports = report_by_names(objects, allow_code=endpoint.allow_code)
        return EndpointReport(tuple(reports), tuple(warnings))
    reports = []
    targets = sorted(targets_in(objects).items())
    with progress("checking", total=len(targets)) as advance, closing(_Trials()) as trials:
        for name, size_bytes in targets:
            kind, problem, notes = trials.load(endpoint.source(name))
            problems = () if problem is None else (problem,)
            reports.append(ModelReport(name, kind, size_bytes, _files(name, keys[name]), problems))
            warnings += [f"{name}: {note}" for note in notes]
            advance()
    return EndpointReport(tuple(reports), tuple(warnings))


def report_by_names(objects: Sequence[StoredObject], *, allow_code: bool) -> list[ModelReport]:
    """Return the models of a listing, judged by names and sizes only."""
    keys = model_files.targets(item.key for item in objects)
    return [
        _report_by_names(name, _files(name, keys[name]), size_bytes, allow_code=allow_code)
        for name, size_bytes in sorted(targets_in(objects).items())
    ]


def _report_by_names(
    name: TargetModel, files: tuple[str, ...], size_bytes: int, *, allow_code: bool
) -> ModelReport:
    candidates = _named_models(files or (name.rpartition("/")[2],))
    scripts = [path for path in files if model_files.may_be_script(path)]
    has_script = bool(scripts)
    kind = "script" if has_script else next(iter(candidates.values()), "unknown")
    if model_files.packing_of(name) is not None and not files:
        kind = "archive"
    problems = [] if size_bytes else ["the file is empty"]
    foreign = foreign_formats.refusal_by_name(name)
    if foreign is not None:
        problems.append(foreign)
    if len(candidates) > 1 and not has_script:
        problems.append(f"{len(candidates)} models ({', '.join(candidates)}); allowed: one")
    code = scripts or [path for path in candidates if model_files.may_run_code(path)]
    if code and not allow_code:
        what = "a pickle" if model_files.is_pickle(code[0]) else code[0]
        problems.append(f"{what} runs code of its own; allowed: only with allow_code: true")
    return ModelReport(name, kind, size_bytes, files, tuple(problems))


def _named_models(files: Sequence[str]) -> Mapping[str, str]:
    """Return the runtimes of the files at an artifact's root whose names say that they are models.

    All numbered versions of a model count as one.
    """
    found: dict[str, str] = {}
    for name in files:
        if "/" not in name and model_files.role_of(name) is Role.MODEL:
            found[name] = model_files.runtime_of(name) or "unknown"
        elif model_files.is_versioned_model(name):
            found["<number>/model.onnx"] = "onnx"
        elif name.rpartition("/")[2] == model_files.SAVED_MODEL:
            found["saved_model.pb"] = "tensorflow"
    return found


def _files(name: str, keys: Sequence[str]) -> tuple[str, ...]:
    """Return what a folder holds, relative to it; nothing for a single file."""
    return tuple(key.removeprefix(f"{name}/") for key in keys if key != name)


_Trial = tuple[str, str | None, tuple[str, ...]]
"""A model's runtime, what is wrong with it or None, and what is odd about its artifact."""


class _Trials:
    """A process that loads one model after the other; a new one follows where one ends."""

    def __init__(self) -> None:
        self._context = multiprocessing.get_context("spawn")
        self._folder = tempfile.TemporaryDirectory(prefix="modelyard-check-")
        self._start()

    def load(self, source: ModelSource) -> _Trial:
        """Load a model; returns its runtime, what is wrong with it, and what is odd about it."""
        try:
            self._connection.send(source)
            if self._connection.poll(LOAD_TIMEOUT_S):
                trial: _Trial = self._connection.recv()
                return trial
            problem = f"its load takes longer than {LOAD_TIMEOUT_S:.0f} s"
        except (EOFError, OSError):
            problem = "its load ends the process"
        self._end()
        self._start()
        return "unknown", problem, ()

    def close(self) -> None:
        """End the process and remove what it staged."""
        self._end()
        self._folder.cleanup()

    def _start(self) -> None:
        # A folder for each process: an ended one may have left half of an artifact in its own.
        folder = tempfile.mkdtemp(dir=self._folder.name)
        self._connection, theirs = self._context.Pipe()
        self._process = self._context.Process(target=_load_models, args=(theirs, folder))
        self._process.start()
        theirs.close()

    def _end(self) -> None:
        self._connection.close()
        self._process.kill()
        self._process.join()


def _load_models(connection: Connection, folder: str) -> None:
    """Load the models that come over the connection until it is closed, and answer for each."""
    # Code of models may print to standard output, where the command may be writing JSON.
    os.dup2(_STDERR, _STDOUT)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C ends the command, which ends this
    outcome = _loader(Path(folder))
    for source in _received(connection):
        connection.send(outcome(source))


def _received(connection: Connection) -> Iterator[ModelSource]:
    while True:
        try:
            yield connection.recv()
        except EOFError:
            return


def _loader(folder: Path) -> Callable[[ModelSource], _Trial]:
    import psutil

    from modelyard.cli.options import user_cache_dir
    from modelyard.domain.system_clock import SystemClock
    from modelyard.inference.disk.artifact_cache import ArtifactCache
    from modelyard.inference.disk.tree import CacheTree
    from modelyard.inference.environments.model_environments import ModelEnvironments
    from modelyard.inference.guests.guest_loading import GuestLoading
    from modelyard.repositories.opening import open_repository
    from modelyard.runtimes import registry

    tree = CacheTree(folder, shutil.disk_usage(folder).free)
    artifacts = ArtifactCache(
        tree, SystemClock(), prepare=registry.prepare, is_rewritten=registry.is_rewritten
    )
    environments = ModelEnvironments(user_cache_dir(), sys.maxsize, install=False)
    loading = GuestLoading(psutil.virtual_memory().total, environments=environments)

    def load(source: ModelSource) -> _Trial:
        kind = "unknown"
        notes: tuple[str, ...] = ()
        try:
            repository = open_repository(source.repository)
            artifact = repository.describe(source.target_model)
            staged = artifacts.ensure_staged(artifact, repository)
            try:
                known = staged.manifest.plan
                kind = kind if known is None else known["runtime"]
                plan = loading.plan_load(
                    staged.model_dir, allow_code=source.allow_code, known=known
                )
                notes = (*staged.manifest.warnings, *plan.warnings)
                loading.load(replace(plan, output=source.output), source.model_id).close()
            finally:
                staged.release()
                artifacts.evict(artifact)
        except ModelCrashedError:
            return kind, "its load ends the process", notes
        except ModelyardError as error:
            return kind, error.message, notes
        except OSError as error:
            return kind, f"its files cannot be read: {error.strerror}", notes
        return kind, None, notes

    return load
