"""One suite for every model repository and for the fake that stands in for them."""

import hashlib
import random

import pytest

from modelyard.domain.errors import ArtifactChangedError, TargetModelNotFoundError
from tests.contract.reading import CHUNK, contents


def test_object_is_described_by_its_size(stored):
    stored.put("Houston_TX.tar.gz", b"12345")

    artifact = stored.repository.describe("Houston_TX.tar.gz")

    assert artifact.key == "Houston_TX.tar.gz"
    assert artifact.size_bytes == 5
    assert not artifact.is_folder


def test_unchanged_object_keeps_its_description(stored):
    stored.put("m.onnx", b"12345")

    assert stored.repository.describe("m.onnx") == stored.repository.describe("m.onnx")


def test_rewritten_object_gets_another_tag(stored):
    stored.put("m.onnx", b"12345")
    before = stored.repository.describe("m.onnx")
    stored.put("m.onnx", b"54321")

    assert stored.repository.describe("m.onnx").tag != before.tag


@pytest.mark.parametrize(
    "key",
    ["ModelA", "company a/team b/Houston TX (v2).tar.gz", "a/b/c/d.json", "Ä+ö%20&?#.onnx", "a=b"],
)
def test_object_is_fetched_whole_under_its_base_name(stored, key):
    stored.put(key, b"the model")

    files = contents(stored.repository, stored.repository.describe(key))

    assert files == {key.rpartition("/")[2]: b"the model"}


def test_empty_object_is_fetched(stored):
    stored.put("empty", b"")

    assert contents(stored.repository, stored.repository.describe("empty")) == {"empty": b""}


def test_folder_is_described_as_one_artifact(stored):
    stored.put("net/1/model.onnx", b"123")
    stored.put("net/config.pbtxt", b"45")

    artifact = stored.repository.describe("net")

    assert artifact.is_folder
    assert artifact.size_bytes == 5
    assert artifact == stored.repository.describe("net")


def test_folder_is_fetched_by_relative_paths(stored):
    files = {"1/model.onnx": b"123", "1/a b/w.bin": b"", "config.pbtxt": b"45"}
    for path, body in files.items():
        stored.put(f"team x/net/{path}", body)

    assert contents(stored.repository, stored.repository.describe("team x/net")) == files


@pytest.mark.parametrize("change", ["rewrite", "add", "delete"])
def test_changed_folder_gets_another_tag(stored, change):
    stored.put("net/a", b"1")
    stored.put("net/b", b"2")
    before = stored.repository.describe("net")

    _change(stored, change)

    assert stored.repository.describe("net").tag != before.tag


@pytest.mark.parametrize("change", ["rewrite", "add", "delete"])
def test_folder_changed_before_the_fetch_is_noticed(stored, change):
    stored.put("net/a", b"1")
    stored.put("net/b", b"2")
    artifact = stored.repository.describe("net")

    _change(stored, change)

    with pytest.raises(ArtifactChangedError):
        contents(stored.repository, artifact)


@pytest.mark.parametrize("change", ["rewrite", "add", "delete"])
def test_folder_changed_during_the_fetch_is_noticed(stored, change):
    stored.put("net/a", b"1")
    stored.put("net/b", b"2")
    fetching = stored.repository.fetch(stored.repository.describe("net"))
    next(fetching).stream.read()

    _change(stored, change)

    with pytest.raises(ArtifactChangedError):
        list(fetching)


def _change(stored, change: str) -> None:
    if change == "delete":
        stored.delete("net/b")
    else:
        stored.put("net/b" if change == "rewrite" else "net/c", b"9")


@pytest.mark.parametrize("key", ["nothing", "a/nothing", "a/m/x", "a/m.onnx/x", "b", "a/m.onn"])
def test_missing_key_is_not_found(stored, key):
    stored.put("a/m.onnx", b"1")
    stored.put("bb", b"1")

    with pytest.raises(TargetModelNotFoundError) as caught:
        stored.repository.describe(key)

    assert caught.value.message.startswith("Failed to download model data (bucket: ")
    assert f"{key})." in caught.value.message


def test_deleted_object_is_not_found(stored):
    stored.put("m", b"1")
    stored.repository.describe("m")
    stored.delete("m")

    with pytest.raises(TargetModelNotFoundError):
        stored.repository.describe("m")


@pytest.mark.parametrize("body", [b"54321", b"other"])
def test_object_changed_before_the_fetch_is_noticed(stored, body):
    stored.put("m", b"12345")
    artifact = stored.repository.describe("m")
    stored.put("m", body)

    with pytest.raises(ArtifactChangedError):
        contents(stored.repository, artifact)


def test_object_deleted_before_the_fetch_is_noticed(stored):
    stored.put("m", b"12345")
    artifact = stored.repository.describe("m")
    stored.delete("m")

    with pytest.raises(ArtifactChangedError):
        contents(stored.repository, artifact)


def test_object_that_becomes_a_folder_is_noticed(stored):
    stored.put("m", b"12345")
    artifact = stored.repository.describe("m")
    stored.delete("m")
    stored.put("m/x", b"12345")

    with pytest.raises(ArtifactChangedError):
        contents(stored.repository, artifact)


@pytest.mark.parametrize("length", [2_500_000, 100], ids=["shorter", "longer"])
def test_object_changed_during_the_fetch_is_never_mixed(stored, length):
    old = random.Random(1).randbytes(2_000_000)
    stored.put("m", old)
    fetching = stored.repository.fetch(stored.repository.describe("m"))
    stream = next(fetching).stream
    data = stream.read(CHUNK)

    stored.put("m", bytes(length))

    try:
        data += stream.read()
        list(fetching)
    except ArtifactChangedError:
        return
    assert data == old


def test_big_object_is_streamed(stored):
    body = random.Random(2).randbytes(20_000_003)
    stored.put("big", body)
    digest, longest = hashlib.sha256(), 0
    for file in stored.repository.fetch(stored.repository.describe("big")):
        while chunk := file.stream.read(CHUNK):
            digest.update(chunk)
            longest = max(longest, len(chunk))

    assert digest.digest() == hashlib.sha256(body).digest()
    assert longest == CHUNK


def test_half_read_object_leaves_no_trace(stored):
    stored.put("net/a", bytes(1_000_000))
    stored.put("net/b", b"b")
    fetching = stored.repository.fetch(stored.repository.describe("net"))
    next(fetching).stream.read(10)
    fetching.close()

    whole = contents(stored.repository, stored.repository.describe("net"))
    assert whole == {"a": bytes(1_000_000), "b": b"b"}


def test_objects_are_listed_in_key_order(stored):
    keys = ["B", "a", "a b/x", "a-b", "a.b/c", "a0", "z/y/x", "é"]
    for key in random.Random(3).sample(keys, len(keys)):
        stored.put(key, key.encode())

    listed = list(stored.repository.objects())

    assert [item.key for item in listed] == keys
    assert [item.size_bytes for item in listed] == [len(item.key.encode()) for item in listed]
    assert all(item.modified_at > 0 for item in listed)


def test_folder_sorts_among_its_neighbours(stored):
    for key in ["a/x", "a.b", "a0"]:
        stored.put(key, b"")

    assert [item.key for item in stored.repository.objects()] == ["a.b", "a/x", "a0"]


@pytest.mark.parametrize("after", ["a", "a.b", "a/", "a/x", "a/x/y", "a/y", "b", "b/2", "b/c", "z"])
def test_listing_begins_after_a_key(stored, after):
    keys = ["a.b", "a/x/1", "a/y", "a0", "b/2/x", "b/2-x", "c"]
    for key in keys:
        stored.put(key, b"1")

    listed = [item.key for item in stored.repository.objects(after=after)]

    assert listed == [key for key in sorted(keys) if key > after]


def test_empty_repository_lists_nothing(stored):
    assert list(stored.repository.objects()) == []


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
def test_c37_one_folder_is_listed_without_its_neighbours(stored, under, keys):
    for key in NEIGHBOURS:
        stored.put(key, key.encode())

    listed = list(stored.repository.objects(under))

    assert [item.key for item in listed] == keys
    assert listed == [item for item in stored.repository.objects() if item.key in keys]


@pytest.mark.parametrize("under", ["m.onnx", "a/m.onnx"])
def test_one_object_is_listed_alone(stored, under):
    for key in ["a/m.onnx", "a/m.onnx.txt", "m.onnx", "m.onnx.txt"]:
        stored.put(key, key.encode())

    [item] = stored.repository.objects(under)

    assert item.key == under
    assert item.size_bytes == len(under)
    assert item in list(stored.repository.objects())


@pytest.mark.parametrize("under", ["nothing", "a/nothing", "a/m.onnx/x", "a/m", "b", "m" * 1000])
def test_folder_that_is_not_there_lists_nothing(stored, under):
    stored.put("a/m.onnx", b"1")
    stored.put("bb", b"1")

    assert list(stored.repository.objects(under)) == []


def test_names_that_begin_alike_are_kept_apart(stored):
    for key in ["a/x", "ab/y", "abc"]:
        stored.put(key, key.encode())

    assert contents(stored.repository, stored.repository.describe("a")) == {"x": b"a/x"}
    assert contents(stored.repository, stored.repository.describe("ab")) == {"y": b"ab/y"}
    assert contents(stored.repository, stored.repository.describe("abc")) == {"abc": b"abc"}


HIDDEN = ["net/.DS_Store", "net/._m", "net/__MACOSX/m", "net/.git/config", ".env"]


@pytest.mark.parametrize("stored", ["stored_directory", "stored_bucket"])
@pytest.mark.parametrize("key", HIDDEN)
def test_hidden_files_are_not_there(stored, key, request):
    stored = request.getfixturevalue(stored)
    stored.put("net/m", b"1")
    stored.put(key, b"secret")

    assert contents(stored.repository, stored.repository.describe("net")) == {"m": b"1"}
    assert [item.key for item in stored.repository.objects()] == ["net/m"]
    with pytest.raises(TargetModelNotFoundError):
        stored.repository.describe(key)


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


@pytest.mark.parametrize("stored", ["stored_directory", "stored_bucket"])
@pytest.mark.parametrize("key", BAD_KEYS, ids=ascii)
def test_key_that_is_no_relative_name_is_not_found(stored, key, request):
    stored = request.getfixturevalue(stored)
    stored.put("m", b"1")

    with pytest.raises(TargetModelNotFoundError):
        stored.repository.describe(key)


@pytest.mark.parametrize("stored", ["stored_directory", "stored_bucket"])
@pytest.mark.parametrize("key", [*HIDDEN, *BAD_KEYS[1:]], ids=ascii)
def test_nothing_is_listed_under_an_unsafe_key(stored, key, request):
    stored = request.getfixturevalue(stored)
    stored.put("m", b"1")
    stored.put("net/.git/config", b"secret")

    assert list(stored.repository.objects(key)) == []
