"""The versions of an API's models as artifacts, over every repository they may lie in."""

import pytest

from modelyard.cortex.project import SINGLE_MODEL, ApiModels, ModelLocation, PredictorType
from modelyard.cortex.versioned_repository import VersionedRepository
from modelyard.domain.errors import (
    ArtifactChangedError,
    DependencyError,
    TargetModelForbiddenError,
    TargetModelNotFoundError,
)
from modelyard.repositories.directory import DirectoryRepository
from modelyard.repositories.opening import open_repository
from tests.contract.reading import contents
from tests.fakes.memory_repository import MemoryRepository

PYTHON, TENSORFLOW, ONNX = PredictorType.PYTHON, PredictorType.TENSORFLOW, PredictorType.ONNX
API = "file:///cortex.yaml#api"
ROOT = "models:"
TREE = (
    "saved_model.pb",
    "variables/variables.index",
    "variables/variables.data-00000-of-00001",
)


def opened(stored, models: ApiModels, kind: PredictorType = PYTHON) -> VersionedRepository:
    return VersionedRepository(models, kind, API, {ROOT: stored.repository}.__getitem__)


def single(key: str) -> ApiModels:
    return ApiModels(single=ModelLocation(ROOT, key))


def paths(**keys: str) -> ApiModels:
    return ApiModels(paths={name: ModelLocation(ROOT, key) for name, key in keys.items()})


DIRECTORY = ApiModels(directory=ROOT)
every_way = pytest.mark.parametrize(
    "models", [paths(iris="iris"), DIRECTORY], ids=["paths", "directory"]
)


@every_way
def test_version_is_one_artifact(stored, models):
    stored.put("iris/1/a", b"1")
    stored.put("iris/2/a", b"22")
    stored.put("iris/2/sub/b", b"333")

    artifact = opened(stored, models).describe("iris/2")

    assert artifact.repository == API
    assert artifact.key == "iris/2"
    assert artifact.size_bytes == 5
    assert artifact.is_folder


@every_way
def test_c29_files_are_laid_out_as_name_and_version(stored, models):
    stored.put("iris/1/a", b"1")
    stored.put("iris/2/a", b"22")
    stored.put("iris/2/sub/b", b"333")
    repository = opened(stored, models)

    files = contents(repository, repository.describe("iris/2"))

    assert files == {"iris/2/a": b"22", "iris/2/sub/b": b"333"}


def test_c29_listed_name_stands_for_its_folder(stored):
    stored.put("team a/flowers/7/a", b"1")
    repository = opened(stored, ApiModels(paths={"iris": ModelLocation(ROOT, "team a/flowers")}))

    assert contents(repository, repository.describe("iris/7")) == {"iris/7/a": b"1"}


def test_c20_single_model_has_cortex_s_name_for_it(stored):
    stored.put("mpg/3/a", b"1")
    repository = opened(stored, single("mpg"))

    files = contents(repository, repository.describe(f"{SINGLE_MODEL}/3"))

    assert files == {f"{SINGLE_MODEL}/3/a": b"1"}
    assert list(repository.catalogue()) == [SINGLE_MODEL]
    assert list(repository.versions(SINGLE_MODEL)) == ["3"]


@every_way
def test_c27_unversioned_model_is_version_1(stored, models):
    stored.put("iris/a", b"1")
    stored.put("iris/sub/b", b"22")
    repository = opened(stored, models)

    files = contents(repository, repository.describe("iris/1"))

    assert files == {"iris/1/a": b"1", "iris/1/sub/b": b"22"}
    assert list(repository.versions("iris")) == ["1"]


def test_c27_onnx_file_is_version_1(stored):
    stored.put("m.onnx", b"1")
    stored.put("m.onnx.bak", b"2")
    repository = opened(stored, paths(small="m.onnx"), ONNX)

    artifact = repository.describe("small/1")

    assert artifact.is_folder
    assert not artifact.is_local  # its file is at <name>/<version>/<file>
    assert contents(repository, artifact) == {"small/1/m.onnx": b"1"}
    assert [item.key for item in repository.objects()] == ["small/1/m.onnx"]


def test_file_is_no_python_model(stored):
    stored.put("m.onnx", b"1")

    assert opened(stored, paths(small="m.onnx")).versions("small") == {}


def test_loose_file_of_a_directory_is_no_model(stored):
    stored.put("m.onnx", b"1")
    repository = opened(stored, DIRECTORY, ONNX)

    assert list(repository.catalogue()) == []
    assert repository.versions("m.onnx") == {}
    with pytest.raises(TargetModelNotFoundError):
        repository.describe("m.onnx/1")


@every_way
def test_versions_come_with_their_newest_modification(stored, models):
    for key in ["iris/1/a", "iris/2/a", "iris/1/b"]:
        stored.put(key, b"1")
    modified = {item.key: item.modified_at for item in stored.repository.objects()}

    versions = opened(stored, models).versions("iris")

    assert versions == {"1": modified["iris/1/b"], "2": modified["iris/2/a"]}


@every_way
@pytest.mark.parametrize("key", ["iris/1", "iris/7", "iris/02", "iris/abc", "iris/-2", "iris/"])
def test_c22_version_that_is_not_there_is_not_found(stored, models, key):
    stored.put("iris/2/a", b"1")
    stored.put("iris/3/a", b"1")

    with pytest.raises(TargetModelNotFoundError) as caught:
        opened(stored, models).describe(key)

    assert caught.value.message == f"model 'iris' has no version {key.removeprefix('iris/')}"


@every_way
@pytest.mark.parametrize("key", ["nothing/1", "../iris/1", "iri/1", "/1", "iris/1/a", "iris", ""])
def test_c22_unknown_name_is_not_found(stored, models, key):
    stored.put("iris/1/a", b"1")

    with pytest.raises(TargetModelNotFoundError, match=r"^no model "):
        opened(stored, models).describe(key)


def test_c22_folder_that_is_not_listed_is_not_found(stored):
    stored.put("iris/1/a", b"1")
    stored.put("other/1/a", b"1")
    repository = opened(stored, paths(iris="iris"))

    with pytest.raises(TargetModelNotFoundError, match=r"^no model 'other'$"):
        repository.describe("other/1")
    assert repository.versions("other") == {}
    assert list(repository.objects("other")) == []


def test_c22_text_for_a_single_model_keeps_its_name_to_itself(stored):
    with pytest.raises(TargetModelNotFoundError) as caught:
        opened(stored, single("mpg")).describe(f"{SINGLE_MODEL}/1")

    assert caught.value.message == "the model has no version 1"


@every_way
def test_c35_new_version_is_seen_at_once(stored, models):
    stored.put("iris/1/a", b"1")
    repository = opened(stored, models)
    before = set(repository.versions("iris"))
    stored.put("iris/2/a", b"1")

    assert before == {"1"}
    assert set(repository.versions("iris")) == {"1", "2"}


@every_way
def test_c40_removed_version_is_gone(stored, models):
    stored.put("iris/1/a", b"1")
    stored.put("iris/2/a", b"1")
    repository = opened(stored, models)
    artifact = repository.describe("iris/2")
    stored.delete("iris/2/a")

    assert list(repository.versions("iris")) == ["1"]
    with pytest.raises(TargetModelNotFoundError):
        repository.describe("iris/2")
    with pytest.raises(ArtifactChangedError):
        contents(repository, artifact)


@every_way
def test_c40_removed_model_is_gone(stored, models):
    stored.put("iris/1/a", b"1")
    stored.put("other/1/a", b"1")
    repository = opened(stored, models)
    repository.describe("iris/1")
    stored.delete("iris/1/a")

    assert repository.versions("iris") == {}
    with pytest.raises(TargetModelNotFoundError):
        repository.describe("iris/1")


@every_way
def test_c36_half_uploaded_version_hides_no_good_one(stored, models):
    for path in TREE:
        stored.put(f"iris/1/{path}", b"1")
    stored.put("iris/2/saved_model.pb", b"1")
    stored.put("iris/README", b"1")
    repository = opened(stored, models, TENSORFLOW)

    assert list(repository.versions("iris")) == ["1"]
    assert {item.key for item in repository.objects()} == {f"iris/1/{path}" for path in TREE}
    with pytest.raises(TargetModelNotFoundError, match=r"^model 'iris' has no version 2$"):
        repository.describe("iris/2")


@every_way
def test_c36_version_is_served_once_it_is_whole(stored, models):
    for path in TREE[:-1]:
        stored.put(f"iris/2/{path}", b"1")
    repository = opened(stored, models, TENSORFLOW)
    before = repository.versions("iris")
    stored.put(f"iris/2/{TREE[-1]}", b"1")

    assert before == {}
    assert contents(repository, repository.describe("iris/2")).keys() == {
        f"iris/2/{path}" for path in TREE
    }


@pytest.mark.parametrize("models", [paths(bert="bert", large="bert-large"), DIRECTORY])
def test_c37_name_that_begins_another_is_kept_apart(stored, models):
    stored.put("bert/1/a", b"1")
    stored.put("bert-large/1/a", b"22")
    stored.put("bert-large/2/a", b"333")
    repository = opened(stored, models)
    large = "large" if models.paths else "bert-large"

    assert list(repository.catalogue()) == sorted(["bert", large])
    assert list(repository.versions("bert")) == ["1"]
    assert list(repository.versions(large)) == ["2", "1"]
    assert contents(repository, repository.describe("bert/1")) == {"bert/1/a": b"1"}
    assert [item.key for item in repository.objects("bert")] == ["bert/1/a"]
    assert contents(repository, repository.describe(f"{large}/2")) == {f"{large}/2/a": b"333"}


@pytest.mark.parametrize("change", ["rewrite", "add", "delete"])
@pytest.mark.parametrize("folder", ["iris/1", "iris"], ids=["versioned", "unversioned"])
def test_changed_version_gets_another_tag(stored, folder, change):
    stored.put(f"{folder}/a", b"1")
    stored.put(f"{folder}/b", b"2")
    repository = opened(stored, DIRECTORY)
    before = repository.describe("iris/1")

    _change(stored, folder, change)

    assert repository.describe("iris/1").tag != before.tag


@pytest.mark.parametrize("change", ["rewrite", "add", "delete"])
@pytest.mark.parametrize("folder", ["iris/1", "iris"], ids=["versioned", "unversioned"])
def test_version_changed_before_or_during_the_fetch_is_noticed(stored, folder, change):
    stored.put(f"{folder}/a", b"1")
    stored.put(f"{folder}/b", b"2")
    repository = opened(stored, DIRECTORY)
    artifact = repository.describe("iris/1")
    fetching = repository.fetch(artifact)
    next(fetching).stream.read()

    _change(stored, folder, change)

    with pytest.raises(ArtifactChangedError):
        list(fetching)
    with pytest.raises(ArtifactChangedError):
        contents(repository, artifact)


def _change(stored, folder: str, change: str) -> None:
    if change == "delete":
        stored.delete(f"{folder}/b")
    else:
        stored.put(f"{folder}/{'b' if change == 'rewrite' else 'c'}", b"9")


def test_change_of_another_version_changes_nothing(stored):
    stored.put("iris/1/a", b"1")
    stored.put("iris/2/a", b"1")
    repository = opened(stored, DIRECTORY)
    artifact = repository.describe("iris/1")
    stored.put("iris/2/a", b"2")
    stored.put("iris/3/a", b"3")

    assert repository.describe("iris/1") == artifact
    assert contents(repository, artifact) == {"iris/1/a": b"1"}


def test_unversioned_model_that_gets_versions_has_changed(stored):
    stored.put("iris/a", b"1")
    repository = opened(stored, DIRECTORY)
    artifact = repository.describe("iris/1")
    stored.put("iris/2/a", b"1")

    with pytest.raises(TargetModelNotFoundError):
        repository.describe("iris/1")
    with pytest.raises(ArtifactChangedError):
        contents(repository, artifact)


KEYS = ["a.b/1/x", "a/01/x", "a/1/x", "a/10/x", "a/2/s/y", "a/2/x", "a0/1/x"]


@pytest.mark.parametrize(
    ("under", "keys"),
    [
        ("", KEYS),
        ("a", KEYS[1:6]),
        ("a/1", ["a/1/x"]),
        ("a/2/s", ["a/2/s/y"]),
        ("a/2/x", ["a/2/x"]),
        ("a/3", []),
        ("b", []),
        ("../a", []),
        ("a//1", []),
    ],
)
def test_servable_files_are_listed_in_key_order(stored, under, keys):
    for key in [*KEYS, "a/README", "loose"]:
        stored.put(key, key.encode())

    listed = list(opened(stored, DIRECTORY).objects(under))

    assert [item.key for item in listed] == keys
    assert listed == [item for item in stored.repository.objects() if item.key in keys]


def test_catalogue_of_a_directory_has_its_folders_with_models(stored):
    for key in ["b/1/m.onnx", "a/m.onnx", "half/1/README", "loose.onnx"]:
        stored.put(key, b"1")

    assert list(opened(stored, DIRECTORY, ONNX).catalogue()) == ["a", "b"]


def test_configured_name_without_a_model_is_in_no_catalogue(stored):
    stored.put("b/1/m", b"1")
    repository = opened(stored, paths(b="b", a="a"))

    assert list(repository.catalogue()) == ["b"]
    assert repository.versions("a") == {}
    with pytest.raises(TargetModelNotFoundError, match=r"^model 'a' has no version 1$"):
        repository.describe("a/1")


def test_c38_empty_directory_serves_nothing(stored):
    repository = opened(stored, DIRECTORY)

    assert list(repository.catalogue()) == []
    assert list(repository.objects()) == []
    with pytest.raises(TargetModelNotFoundError, match=r"^no model 'iris'$"):
        repository.describe("iris/1")


@pytest.mark.parametrize("location", [ModelLocation, None], ids=["paths", "directory"])
def test_repository_out_of_reach_is_no_missing_model(s3_bucket, location):
    uri = f"s3://{s3_bucket}-not/models/"
    models = (
        ApiModels(paths={"iris": location(uri, "iris")}) if location else ApiModels(directory=uri)
    )
    repository = VersionedRepository(models, PYTHON, API, open_repository)

    for ask in [
        lambda: repository.describe("iris/1"),
        lambda: repository.versions("iris"),
        lambda: list(repository.objects()),
    ]:
        with pytest.raises(DependencyError, match="answered 404"):
            ask()


def test_version_that_may_not_be_read_stays_forbidden_without_a_word_of_where_it_is():
    class ListedOnly(MemoryRepository):
        def describe(self, key):
            raise TargetModelForbiddenError(f"Failed to download model data (key: secret/{key})")

    inner = ListedOnly({"iris/1/a": b"1"})
    repository = VersionedRepository(DIRECTORY, PYTHON, API, lambda _: inner)

    with pytest.raises(TargetModelForbiddenError) as caught:
        repository.describe("iris/1")

    assert caught.value.message == "model 'iris' has no version 1"


def test_one_question_about_one_model_lists_its_folder_only(stored_directory):
    asked = []

    class Listening(DirectoryRepository):
        def objects(self, under="", after=""):
            asked.append(under)
            return super().objects(under, after)

    stored_directory.put("bert/1/a", b"1")
    stored_directory.put("bert-large/1/a", b"1")
    repository = VersionedRepository(
        DIRECTORY, PYTHON, API, lambda _: Listening(stored_directory.root)
    )

    repository.describe("bert/1")
    repository.versions("bert")
    list(repository.objects("bert/1"))

    assert asked == ["bert", "bert", "bert"]
