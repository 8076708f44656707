"""Artifacts nobody should have uploaded: a typed error that says why, and no harm to others."""

import gzip
import tarfile
from collections.abc import Callable

import pytest

from tests.functional import artifacts
from tests.functional.served import Served, over_each_repository
from tests.models import archives, sklearn_models, xgboost_models
from tests.serving import body

pytestmark = pytest.mark.usefixtures("unharmed")


def good_member() -> archives.Member:
    return archives.tar_file("xgboost-model", artifacts.booster())


def with_special(kind: bytes, target: str = "xgboost-model") -> Callable[[], bytes]:
    return lambda: archives.tar_gz(good_member(), archives.tar_special("odd", kind, target))


def with_file(name: str) -> Callable[[], bytes]:
    return lambda: archives.tar_gz(good_member(), archives.tar_file(name))


def with_many_members() -> bytes:
    folder = archives.tar_folder("d")[0].tobuf(tarfile.USTAR_FORMAT)
    return gzip.compress(folder * 100_000 + bytes(1024), 1)


HOSTILE: dict[str, tuple[Callable[[], bytes], str]] = {
    "truncated gzip": (
        lambda: artifacts.house()[:-200],
        "the archive is truncated or not a gzip archive",
    ),
    "no gzip": (lambda: b"<html>", "the archive is truncated or not a gzip archive"),
    "no bytes": (lambda: b"", "the archive is truncated or not a gzip archive"),
    "empty archive": (archives.tar_gz, "the archive holds no files"),
    "absolute path": (with_file("/etc/cron.d/x"), "'/etc/cron.d/x' has an unsafe name"),
    "parent": (with_file("../../x"), "'../../x' has an unsafe name"),
    "parent inside": (with_file("a/../../x"), "'a/../../x' has an unsafe name"),
    "symlink": (with_special(tarfile.SYMTYPE, "/etc/passwd"), "'odd' is a symbolic link"),
    "hard link": (with_special(tarfile.LNKTYPE, "gone"), "'odd' is a hard link"),
    "character device": (with_special(tarfile.CHRTYPE), "'odd' is a device"),
    "block device": (with_special(tarfile.BLKTYPE), "'odd' is a device"),
    "pipe": (with_special(tarfile.FIFOTYPE), "'odd' is a "),
    "same name twice": (with_file("xgboost-model"), "'xgboost-model' twice"),
    "100,000 members": (with_many_members, "the archive has more than 10000 members"),
    "bomb": (
        lambda: archives.tar_gz_bomb(64 << 20),
        "the archive unpacks to more than 200 times its own size",
    ),
    "no model": (
        lambda: archives.tar_gz_of({"README.md": b"hello"}),
        "the artifact holds no model but README.md",
    ),
    "two models": (
        lambda: archives.tar_gz_of(
            {"xgboost-model": artifacts.booster(), "model.onnx": artifacts.onnx()}
        ),
        "the artifact holds 2 models (model.onnx, xgboost-model): keep one",
    ),
    "own code": (
        lambda: artifacts.script(artifacts.ECHO),
        "code/inference.py runs code of the artifact when it is loaded",
    ),
    "pickle": (
        lambda: artifacts.packed(lambda folder: sklearn_models.linear_joblib(folder, 1.0, 0.0)),
        "model.joblib runs code of the artifact when it is loaded",
    ),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_row15_a_bad_archive_is_a_model_error_and_a_listed_failure(
    served: Served, name: str
) -> None:
    build, message = HOSTILE[name]
    target = served.publish(build())

    assert_refused(served, target, message)
    found = served.server.models("safe")[target]
    assert (found["status"], message in found["detail"]) == ("LOADING_FAILED", True)


@over_each_repository
def test_row15_a_wrapped_archive_is_served_with_a_warning(served: Served) -> None:
    target = served.publish(
        archives.tar_gz_of({"Houston_TX/xgboost-model": artifacts.booster(7.0)})
    )

    answer = body(served.invoke(target))

    assert answer == [7.0]
    found = served.server.models("safe")[target]
    warning = 'the archive wraps its files in the folder "Houston_TX"'
    assert warning in found["detail"]
    assert warning in served.server.log


@pytest.mark.parametrize(
    "debris",
    [".DS_Store", "._xgboost-model", "__MACOSX/._xgboost-model", "MAR-INF/MANIFEST.json"],
)
def test_row15_what_packing_leaves_behind_does_no_harm(served: Served, debris: str) -> None:
    files = {debris: b"{}", "xgboost-model": artifacts.booster(7.0)}
    target = served.publish(archives.tar_gz_of(files))

    assert body(served.invoke(target)) == [7.0]


def plain(build: Callable[..., object], name: str) -> bytes:
    return artifacts.files_of(lambda folder: build(folder, 16.0, name))[name]


@pytest.mark.parametrize("name", ["model.json", "model.ubj"])
def test_row16_a_booster_is_served_in_both_formats(served: Served, name: str) -> None:
    build = xgboost_models.json if name.endswith("json") else xgboost_models.ubj
    target = served.publish(archives.tar_gz_of({name: plain(build, name)}))

    assert body(served.invoke(target)) == [16.0]


@pytest.mark.parametrize("name", ["model.json", "model.ubj"])
def test_row16_a_booster_is_served_without_an_archive(served: Served, name: str) -> None:
    build = xgboost_models.json if name.endswith("json") else xgboost_models.ubj
    target = served.publish(plain(build, name), name)

    assert body(served.invoke(target)) == [16.0]


@pytest.mark.parametrize("endpoint", ["safe", "code"])
def test_row16_a_pickled_booster_is_served_without_running_code(
    served: Served, endpoint: str
) -> None:
    target = served.publish(artifacts.packed(lambda folder: xgboost_models.pickled(folder, 16.0)))

    assert body(served.invoke(target, endpoint=endpoint)) == [16.0]


def test_row16_a_pickle_with_code_is_served_where_code_is_allowed(served: Served) -> None:
    build = xgboost_models.pickled_with_code
    target = served.publish(artifacts.packed(lambda folder: build(folder, 16.0)))

    assert body(served.invoke(target, endpoint="code")) == [16.0]


def test_row16_a_booster_of_the_containers_1_3_to_1_7_is_served(served: Served) -> None:
    build = xgboost_models.legacy_binary
    target = served.publish(artifacts.packed(lambda folder: build(folder, answer=16.0)))

    assert body(served.invoke(target)) == [16.0]


UNREADABLE: dict[str, tuple[Callable[[], dict[str, bytes]], str]] = {
    "damaged legacy binary": (
        lambda: {"xgboost-model": b"binf" + bytes(range(256)) * 4},
        "xgboost-model is no valid model in XGBoost's legacy binary format",
    ),
    "JSON named ubj": (
        lambda: {"model.ubj": plain(xgboost_models.json, "model.ubj")},
        "rename it to model.json",
    ),
    "UBJSON named json": (
        lambda: {"model.json": plain(xgboost_models.ubj, "model.json")},
        "rename it to model.ubj",
    ),
    "newer than us": (
        lambda: artifacts.files_of(xgboost_models.from_the_future),
        "was written by XGBoost 99.0, newer than the installed",
    ),
    "pickle without permission": (
        lambda: artifacts.files_of(lambda folder: xgboost_models.pickled_with_code(folder, 1.0)),
        "xgboost-model cannot be read without running its code: it names math.sqrt",
    ),
    "cut in half": (
        lambda: {"xgboost-model": artifacts.booster()[: len(artifacts.booster()) // 2]},
        "xgboost-model is incomplete",
    ),
}


@pytest.mark.parametrize("name", UNREADABLE)
def test_row16_a_booster_we_would_read_wrong_is_refused(served: Served, name: str) -> None:
    files, message = UNREADABLE[name]
    target = served.publish(archives.tar_gz_of(files()))

    assert_refused(served, target, message)


def test_a_json_booster_named_ubj_is_refused_without_an_archive(served: Served) -> None:
    target = served.publish(plain(xgboost_models.json, "model.ubj"), "model.ubj")

    assert_refused(served, target, "model.ubj contains XGBoost JSON: rename it to model.json")


def assert_refused(served: Served, target: str, message: str) -> None:
    with pytest.raises(served.sdk.exceptions.ModelError) as caught:
        served.invoke(target)

    said = caught.value.response["OriginalMessage"]
    assert message in said
    assert str(served.server.cache_dir) not in said
    assert caught.value.response["OriginalStatusCode"] == 500
