"""One suite for every model repository and for the fake that stands in for them."""

import hashlib
import random

import pytest

from modelyard.domain.errors import ArtifactChangedError, TargetModelNotFoundError
from tests.contract.reading import CHUNK, contents


def test_object_is_described_by_its_size(shelf):
    shelf.put("Houston_TX.tar.gz", b"12345")

    artifact = shelf.repository.describe("Houston_TX.tar.gz")

    assert artifact.key == "Houston_TX.tar.gz"
    assert artifact.size_bytes == 5
    assert not artifact.is_folder


def test_unchanged_object_keeps_its_description(shelf):
    shelf.put("m.onnx", b"12345")

    assert shelf.repository.describe("m.onnx") == shelf.repository.describe("m.onnx")


def test_rewritten_object_gets_another_tag(shelf):
    shelf.put("m.onnx", b"12345")
    before = shelf.repository.describe("m.onnx")
    shelf.put("m.onnx", b"54321")

    assert shelf.repository.describe("m.onnx").tag != before.tag


@pytest.mark.parametrize(
    "key",
    ["ModelA", "company a/team b/Houston TX (v2).tar.gz", "a/b/c/d.json", "Ä+ö%20&?#.onnx", "a=b"],
)
def test_object_is_fetched_whole_under_its_base_name(shelf, key):
    shelf.put(key, b"the model")

    files = contents(shelf.repository, shelf.repository.describe(key))

    assert files == {key.rpartition("/")[2]: b"the model"}


def test_empty_object_is_fetched(shelf):
    shelf.put("empty", b"")

    assert contents(shelf.repository, shelf.repository.describe("empty")) == {"empty": b""}


def test_folder_is_described_as_one_artifact(shelf):
    shelf.put("net/1/model.onnx", b"123")
    shelf.put("net/config.pbtxt", b"45")

    artifact = shelf.repository.describe("net")

    assert artifact.is_folder
    assert artifact.size_bytes == 5
    assert artifact == shelf.repository.describe("net")


def test_folder_is_fetched_by_relative_paths(shelf):
    files = {"1/model.onnx": b"123", "1/a b/w.bin": b"", "config.pbtxt": b"45"}
    for path, body in files.items():
        shelf.put(f"team x/net/{path}", body)

    assert contents(shelf.repository, shelf.repository.describe("team x/net")) == files


@pytest.mark.parametrize("change", ["rewrite", "add", "delete"])
def test_changed_folder_gets_another_tag(shelf, change):
    shelf.put("net/a", b"1")
    shelf.put("net/b", b"2")
    before = shelf.repository.describe("net")

    _change(shelf, change)

    assert shelf.repository.describe("net").tag != before.tag


@pytest.mark.parametrize("change", ["rewrite", "add", "delete"])
def test_folder_changed_before_the_fetch_is_noticed(shelf, change):
    shelf.put("net/a", b"1")
    shelf.put("net/b", b"2")
    artifact = shelf.repository.describe("net")

    _change(shelf, change)

    with pytest.raises(ArtifactChangedError):
        contents(shelf.repository, artifact)


@pytest.mark.parametrize("change", ["rewrite", "add", "delete"])
def test_folder_changed_during_the_fetch_is_noticed(shelf, change):
    shelf.put("net/a", b"1")
    shelf.put("net/b", b"2")
    fetching = shelf.repository.fetch(shelf.repository.describe("net"))
    next(fetching).stream.read()

    _change(shelf, change)

    with pytest.raises(ArtifactChangedError):
        list(fetching)


def _change(shelf, change: str) -> None:
    if change == "delete":
        shelf.delete("net/b")
    else:
        shelf.put("net/b" if change == "rewrite" else "net/c", b"9")


@pytest.mark.parametrize("key", ["nothing", "a/nothing", "a/m/x", "a/m.onnx/x", "b", "a/m.onn"])
def test_missing_key_is_not_found(shelf, key):
    shelf.put("a/m.onnx", b"1")
    shelf.put("bb", b"1")

    with pytest.raises(TargetModelNotFoundError) as caught:
        shelf.repository.describe(key)

    assert caught.value.message.startswith("Failed to download model data (bucket: ")
    assert f"{key})." in caught.value.message


def test_deleted_object_is_not_found(shelf):
    shelf.put("m", b"1")
    shelf.repository.describe("m")
    shelf.delete("m")

    with pytest.raises(TargetModelNotFoundError):
        shelf.repository.describe("m")


@pytest.mark.parametrize("body", [b"54321", b"other"])
def test_object_changed_before_the_fetch_is_noticed(shelf, body):
    shelf.put("m", b"12345")
    artifact = shelf.repository.describe("m")
    shelf.put("m", body)

    with pytest.raises(ArtifactChangedError):
        contents(shelf.repository, artifact)


def test_object_deleted_before_the_fetch_is_noticed(shelf):
    shelf.put("m", b"12345")
    artifact = shelf.repository.describe("m")
    shelf.delete("m")

    with pytest.raises(ArtifactChangedError):
        contents(shelf.repository, artifact)


def test_object_that_becomes_a_folder_is_noticed(shelf):
    shelf.put("m", b"12345")
    artifact = shelf.repository.describe("m")
    shelf.delete("m")
    shelf.put("m/x", b"12345")

    with pytest.raises(ArtifactChangedError):
        contents(shelf.repository, artifact)


@pytest.mark.parametrize("length", [2_500_000, 100], ids=["shorter", "longer"])
def test_object_changed_during_the_fetch_is_never_mixed(shelf, length):
    old = random.Random(1).randbytes(2_000_000)
    shelf.put("m", old)
    fetching = shelf.repository.fetch(shelf.repository.describe("m"))
    stream = next(fetching).stream
    data = stream.read(CHUNK)

    shelf.put("m", bytes(length))

    try:
        data += stream.read()
        list(fetching)
    except ArtifactChangedError:
        return
    assert data == old


def test_big_object_is_streamed(shelf):
    body = random.Random(2).randbytes(20_000_003)
    shelf.put("big", body)
    digest, longest = hashlib.sha256(), 0
    for file in shelf.repository.fetch(shelf.repository.describe("big")):
        while chunk := file.stream.read(CHUNK):
            digest.update(chunk)
            longest = max(longest, len(chunk))

    assert digest.digest() == hashlib.sha256(body).digest()
    assert longest == CHUNK


def test_half_read_object_leaves_no_trace(shelf):
    shelf.put("net/a", bytes(1_000_000))
    shelf.put("net/b", b"b")
    fetching = shelf.repository.fetch(shelf.repository.describe("net"))
    next(fetching).stream.read(10)
    fetching.close()

    whole = contents(shelf.repository, shelf.repository.describe("net"))
    assert whole == {"a": bytes(1_000_000), "b": b"b"}


def test_objects_are_listed_in_key_order(shelf):
    keys = ["B", "a", "a b/x", "a-b", "a.b/c", "a0", "z/y/x", "é"]
    for key in random.Random(3).sample(keys, len(keys)):
        shelf.put(key, key.encode())

    listed = list(shelf.repository.objects())

    assert [item.key for item in listed] == keys
    assert [item.size_bytes for item in listed] == [len(item.key.encode()) for item in listed]
    assert all(item.modified_at > 0 for item in listed)


def test_folder_sorts_among_its_neighbours(shelf):
    for key in ["a/x", "a.b", "a0"]:
        shelf.put(key, b"")

    assert [item.key for item in shelf.repository.objects()] == ["a.b", "a/x", "a0"]


def test_empty_repository_lists_nothing(shelf):
    assert list(shelf.repository.objects()) == []


NEIGHBOURS = ["bert-large/x", "bert.onnx", "bert/1/x", "bert/2/a b/y", "bert0", "bertrand/z"]


@pytest.mark.parametrize(
    ("under", "keys"),
    [
        ("bert", ["bert/1/x", "bert/2/a b/y"]),
        ("bert/2", ["bert/2/a b/y"]),
        ("bert/2/a b", ["bert/2/a b/y"]),
        ("bert-large", ["bert-large/x"]),
        ("", NEIGHBOURS),
    ],
)
def test_c37_one_folder_is_listed_without_its_neighbours(shelf, under, keys):
    for key in NEIGHBOURS:
        shelf.put(key, key.encode())

    listed = list(shelf.repository.objects(under))

    assert [item.key for item in listed] == keys
    assert listed == [item for item in shelf.repository.objects() if item.key in keys]


@pytest.mark.parametrize("under", ["m.onnx", "a/m.onnx"])
def test_one_object_is_listed_alone(shelf, under):
    for key in ["a/m.onnx", "a/m.onnx.txt", "m.onnx", "m.onnx.txt"]:
        shelf.put(key, key.encode())

    [item] = shelf.repository.objects(under)

    assert item.key == under
    assert item.size_bytes == len(under)
    assert item in list(shelf.repository.objects())


@pytest.mark.parametrize("under", ["nothing", "a/nothing", "a/m.onnx/x", "a/m", "b", "m" * 1000])
def test_folder_that_is_not_there_lists_nothing(shelf, under):
    shelf.put("a/m.onnx", b"1")
    shelf.put("bb", b"1")

    assert list(shelf.repository.objects(under)) == []


def test_names_that_begin_alike_are_kept_apart(shelf):
    for key in ["a/x", "ab/y", "abc"]:
        shelf.put(key, key.encode())

    assert contents(shelf.repository, shelf.repository.describe("a")) == {"x": b"a/x"}
    assert contents(shelf.repository, shelf.repository.describe("ab")) == {"y": b"ab/y"}
    assert contents(shelf.repository, shelf.repository.describe("abc")) == {"abc": b"abc"}


HIDDEN = ["net/.DS_Store", "net/._m", "net/__MACOSX/m", "net/.git/config", ".env"]


@pytest.mark.parametrize("shelf", ["directory_shelf", "s3_shelf"])
@pytest.mark.parametrize("key", HIDDEN)
def test_hidden_files_are_not_there(shelf, key, request):
    shelf = request.getfixturevalue(shelf)
    shelf.put("net/m", b"1")
    shelf.put(key, b"secret")

    assert contents(shelf.repository, shelf.repository.describe("net")) == {"m": b"1"}
    assert [item.key for item in shelf.repository.objects()] == ["net/m"]
    with pytest.raises(TargetModelNotFoundError):
        shelf.repository.describe(key)


BAD_KEYS = [
    "",
    "/m",
    "../m",
    "a/../../m",
    "a/..",
    ".",
    "./m",
    "a//m",
    "m/",
    "a\\m",
    "a\0m",
    "\udce9",
    "x" * 1025,
    "x/" * 511 + "x",
]


@pytest.mark.parametrize("shelf", ["directory_shelf", "s3_shelf"])
@pytest.mark.parametrize("key", BAD_KEYS, ids=ascii)
def test_key_that_is_no_relative_name_is_not_found(shelf, key, request):
    shelf = request.getfixturevalue(shelf)
    shelf.put("m", b"1")

    with pytest.raises(TargetModelNotFoundError):
        shelf.repository.describe(key)


@pytest.mark.parametrize("shelf", ["directory_shelf", "s3_shelf"])
@pytest.mark.parametrize("key", [*HIDDEN, *BAD_KEYS[1:]], ids=ascii)
def test_nothing_is_listed_under_an_unsafe_key(shelf, key, request):
    shelf = request.getfixturevalue(shelf)
    shelf.put("m", b"1")
    shelf.put("net/.git/config", b"secret")

    assert list(shelf.repository.objects(key)) == []
