"""The models of a Cortex API as one repository whose keys are `<name>/<version>`."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import groupby

from modelyard.cortex.layouts import versions_in
from modelyard.cortex.project import SINGLE_MODEL, ApiModels, ModelLocation, PredictorType, called
from modelyard.domain.errors import TargetModelNotFoundError
from modelyard.domain.ports import ArtifactFile, ModelRepository
from modelyard.domain.values import ModelArtifact, StoredObject
from modelyard.repositories.artifact_files import changed, is_key


@dataclass(frozen=True, slots=True)
class _Model:
    """One model and the files that its folder contains now."""

    location: ModelLocation
    files: Mapping[str, StoredObject]
    """The files by path, relative to the model's folder."""
    versions: Mapping[str, str]
    """The versions that can be served, each with its folder relative to the model's."""

    def files_of(self, version: str) -> dict[str, StoredObject]:
        folder = self.versions[version]
        prefix = f"{folder}/" if folder else ""
        below = (path for path in self.files if path.startswith(prefix))
        return {path.removeprefix(prefix): self.files[path] for path in below}

    def key_of(self, version: str) -> str:
        """Return the version's key in the repository of the model's location."""
        return f"{self.location.key}/{self.versions[version]}".removesuffix("/")


_NOTHING = _Model(ModelLocation("", ""), {}, {})
_Open = Callable[[str], ModelRepository]


def opening(
    places: Iterable[tuple[str, ApiModels, PredictorType]], open_repository: _Open
) -> _Open:
    """Return a function that opens the repositories of APIs by their URIs, and any other."""
    versioned = {
        uri: VersionedRepository(models, kind, uri, open_repository) for uri, models, kind in places
    }
    return lambda uri: versioned[uri] if uri in versioned else open_repository(uri)


class VersionedRepository:
    """A repository with one artifact per well-formed version, laid out as on Cortex's disk.

    Every method lists the underlying repositories again; nothing is cached.
    """

    def __init__(
        self,
        models: ApiModels,
        predictor_type: PredictorType,
        uri: str,
        open_repository: _Open,
    ) -> None:
        self._models = models
        self._type = predictor_type
        self._uri = uri
        self._open_repository = open_repository

    def describe(self, key: str) -> ModelArtifact:
        """Return the artifact that `<name>/<version>` is now."""
        _, inner = self._inner(key)
        return replace(inner, repository=self._uri, key=key, is_folder=True, is_local=False)

    def fetch(self, artifact: ModelArtifact) -> Iterator[ArtifactFile]:
        """Yield the files of exactly this version as `<name>/<version>/<path>`."""
        try:
            repository, inner = self._inner(artifact.key)
        except TargetModelNotFoundError as error:
            raise changed(artifact.key) from error
        if inner.tag != artifact.tag:
            raise changed(artifact.key)
        for file in repository.fetch(inner):
            yield replace(file, path=f"{artifact.key}/{file.path}")

    def objects(self, under: str = "", after: str = "") -> Iterator[StoredObject]:
        """Yield every file that can be served now as `<name>/<version>/<path>`, in key order."""
        name = under.partition("/")[0]
        models = {name: self._find(name)} if name else self._all()
        listed = (item for name, model in models.items() for item in _listing(name, model))
        wanted = f"{under}/" if under else ""
        within = (item for item in listed if f"{item.key}/".startswith(wanted) and item.key > after)
        yield from sorted(within, key=lambda item: item.key.encode())

    def catalogue(self) -> dict[str, dict[str, float]]:
        """Return the versions of every model that can be served now, as `versions` does.

        Raises:
            DependencyError: a repository cannot be listed.
        """
        listed = {name: _times(model) for name, model in self._all().items()}
        return {name: versions for name, versions in sorted(listed.items()) if versions}

    def versions(self, name: str) -> dict[str, float]:
        """Return the versions of a model that can be served now; none when it is not there.

        The newest comes first. With each comes the latest modification time of its files, in
        seconds since the epoch.

        Raises:
            DependencyError: the repository cannot be listed.
        """
        return _times(self._find(name))

    def _inner(self, key: str) -> tuple[ModelRepository, ModelArtifact]:
        """Return the artifact behind a version, and the repository that has it."""
        name, _, version = key.rpartition("/")
        model = self._find(name)
        if version not in model.versions:
            raise TargetModelNotFoundError(self._missing(key, model))
        repository = self._open_repository(model.location.repository)
        try:
            return repository, repository.describe(model.key_of(version))
        except TargetModelNotFoundError as error:  # or forbidden; its text names the bucket
            raise type(error)(self._missing(key, model)) from error

    def _missing(self, key: str, model: _Model) -> str:
        name, _, version = key.rpartition("/")
        is_single = self._models.single is not None
        if is_single or model.versions or name in self._models.paths:
            return f"{called(SINGLE_MODEL if is_single else name)} has no version {version}"
        return f"no model {(name or key)!r}"

    def _find(self, name: str) -> _Model:
        location = self._location(name)
        if location is None:
            return _NOTHING
        objects = self._open_repository(location.repository).objects(location.key)
        return self._model(location, objects)

    def _all(self) -> dict[str, _Model]:
        directory = self._models.directory
        if directory is None:
            return {name: self._find(name) for name in self._locations()}
        objects = self._open_repository(directory).objects()
        folders = groupby(objects, lambda item: item.key.partition("/")[0])
        return {name: self._model(ModelLocation(directory, name), held) for name, held in folders}

    def _location(self, name: str) -> ModelLocation | None:
        directory = self._models.directory
        if directory is None:
            return self._locations().get(name)
        return ModelLocation(directory, name) if is_key(name) and "/" not in name else None

    def _locations(self) -> Mapping[str, ModelLocation]:
        single = self._models.single
        return self._models.paths if single is None else {SINGLE_MODEL: single}

    def _model(self, location: ModelLocation, objects: Iterable[StoredObject]) -> _Model:
        folder = f"{location.key}/"
        takes_file = self._type is PredictorType.ONNX and self._models.directory is None
        files = {
            item.key.removeprefix(folder): item
            for item in objects
            if item.key.startswith(folder) or takes_file
        }
        return _Model(location, files, versions_in(files, self._type))


def _times(model: _Model) -> dict[str, float]:
    return {
        version: max(item.modified_at for item in model.files_of(version).values())
        for version in model.versions
    }


def _listing(name: str, model: _Model) -> Iterator[StoredObject]:
    for version in model.versions:
        for path, item in model.files_of(version).items():
            yield replace(item, key=f"{name}/{version}/{path}")
