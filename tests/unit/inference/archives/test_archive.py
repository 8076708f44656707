"""Good archives come out whole, wherever they were packed."""

import bz2
import gzip
import io
import lzma
import os
import random
import stat
import tarfile
from pathlib import Path

import pytest

from modelyard.inference.archives.archive import archive_kind, extract
from tests.models import archives
from tests.unit.inference.archives.unpacking import (
    BZ2,
    GOOD_GZ,
    GOOD_TAR,
    GOOD_ZIP,
    GZ,
    PACKED,
    TAR,
    XZ,
    ZIP,
    ZST,
    Budget,
    files_below,
    unpack,
)


@pytest.fixture
def into(tmp_path: Path) -> Path:
    folder = tmp_path / "work" / "model"
    folder.mkdir(parents=True)
    return folder


@pytest.mark.parametrize(("pack", "kind"), PACKED)
@pytest.mark.parametrize(
    "files",
    [
        pytest.param({"model.onnx": b"weights"}, id="one"),
        pytest.param(
            {"1/saved_model.pb": b"g", "1/variables/v": b"", "code/a.py": b"x"}, id="deep"
        ),
        pytest.param({"Ä ö.json": b"1", "n" * 200: b"2", "x/" + "y" * 200: b"3"}, id="odd-names"),
        pytest.param({"big": random.Random(1).randbytes(700_001), "b": b"b"}, id="many-chunks"),
    ],
)
def test_files_come_out_as_they_went_in(pack, kind, files, into):
    problems = unpack(pack(files), kind, into)

    assert files_below(into) == files
    assert problems == []
    assert list(into.parent.iterdir()) == [into]


@pytest.mark.parametrize("dialect", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_every_tar_dialect_is_read(dialect, into):
    name = f"{'d' * 90}/{'f' * 90}"
    data = archives.tar(archives.tar_file("m"), archives.tar_file(name), dialect=dialect)

    unpack(data, TAR, into)

    assert files_below(into) == {"m": b"model", name: b"model"}


def test_pax_size_overrules_the_header(into):
    unpack(archives.tar_with_pax({"size": "5", "path": "renamed"}), TAR, into)

    assert files_below(into) == {"renamed": b"model"}


def test_gzip_in_several_members_is_one_archive(into):
    whole = archives.tar_of({"model.onnx": b"weights"})

    unpack(gzip.compress(whole[:700]) + gzip.compress(whole[700:]), GZ, into)

    assert files_below(into) == {"model.onnx": b"weights"}


@pytest.mark.parametrize(("compress", "kind"), [(bz2.compress, BZ2), (lzma.compress, XZ)])
def test_streams_of_parallel_compressors_are_one_archive(compress, kind, into):
    whole = archives.tar_of({"model.onnx": b"weights"})

    unpack(compress(whole[:700]) + compress(whole[700:]), kind, into)

    assert files_below(into) == {"model.onnx": b"weights"}


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE])
@pytest.mark.parametrize("dialect", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_link_to_a_file_of_the_archive_becomes_a_copy(kind, dialect, into):
    target = f"{'d' * 90}/{'f' * 90}"
    link = archives.tar_special("latest.onnx", kind, target)

    unpack(archives.tar(link, archives.tar_file(target), dialect=dialect), TAR, into)

    assert files_below(into) == {"latest.onnx": b"model", target: b"model"}
    assert not any(path.is_symlink() for path in into.rglob("*"))


def test_symbolic_link_is_read_from_its_folder_and_may_point_to_a_link(into):
    data = archives.tar_gz(
        archives.tar_special("model.onnx", tarfile.SYMTYPE, "./a/latest"),
        archives.tar_special("a/latest", tarfile.SYMTYPE, "../b/1"),
        archives.tar_file("b/1"),
    )

    unpack(data, GZ, into)

    assert files_below(into) == dict.fromkeys(["model.onnx", "a/latest", "b/1"], b"model")


def test_symbolic_link_of_a_zip_becomes_a_copy(into):
    info = archives.zipfile.ZipInfo("latest")
    info.create_system = 3
    info.external_attr = (stat.S_IFLNK | 0o777) << 16

    data = archives.zip_entries([(info, b"m/1"), (archives.zipfile.ZipInfo("m/1"), b"model")])
    unpack(data, ZIP, into)

    assert files_below(into) == {"latest": b"model", "m/1": b"model"}


class Dribble(io.BytesIO):
    """A connection that hands out a few bytes at a time."""

    def read(self, size=-1):
        return super().read(min(size, 7))


@pytest.mark.parametrize(("pack", "kind"), PACKED)
def test_stream_may_deliver_in_small_pieces(pack, kind, into):
    files = {"a": b"x" * 3000, "b/c": b"y"}

    extract(Dribble(pack(files)), kind, into, Budget())

    assert files_below(into) == files


def test_gzip_members_are_joined_in_small_pieces_too(into):
    whole = archives.tar_of({"model.onnx": b"weights"})
    data = gzip.compress(whole[:700]) + gzip.compress(whole[700:])

    extract(Dribble(data), GZ, into, Budget())

    assert files_below(into) == {"model.onnx": b"weights"}


def test_gzip_with_trailing_garbage_is_fine(into):
    unpack(archives.tar_gz_of({"model.onnx": b"weights"}) + b"garbage" * 50_000, GZ, into)

    assert files_below(into) == {"model.onnx": b"weights"}


def test_dot_slash_names_lose_their_dot(into):
    members = [archives.tar_folder("./"), *map(archives.tar_file, ["./x", "./a//m.onnx"])]

    unpack(archives.tar(*members), TAR, into)

    assert set(files_below(into)) == {"x", "a/m.onnx"}


@pytest.fixture
def strict_umask():
    before = os.umask(0o077)
    yield
    os.umask(before)


@pytest.mark.usefixtures("strict_umask")
def test_modes_are_normalised(into):
    info, body = archives.tar_file("f")
    info.mode = 0o6777
    folder = archives.tar_folder("d")
    folder[0].mode = 0

    unpack(archives.tar((info, body), folder, archives.tar_file("d/x")), TAR, into)

    assert stat.S_IMODE((into / "f").stat().st_mode) == 0o644
    assert stat.S_IMODE((into / "d").stat().st_mode) == 0o755


@pytest.mark.parametrize(("pack", "kind"), PACKED)
def test_packing_junk_is_skipped(pack, kind, into):
    junk = ["._model.onnx", ".DS_Store", "__MACOSX/model.onnx", "MAR-INF/MANIFEST.json", "a/.git/x"]

    unpack(pack(dict.fromkeys(junk, b"junk") | {"model.onnx": b"m"}), kind, into)

    assert files_below(into) == {"model.onnx": b"m"}


@pytest.mark.parametrize(("pack", "kind"), PACKED)
@pytest.mark.parametrize(
    ("packed", "unpacked"),
    [
        pytest.param(["Houston_TX/m.json"], ["m.json"], id="file"),
        pytest.param(
            ["H/m.json", "H/code/inference.py"], ["code/inference.py", "m.json"], id="code"
        ),
        pytest.param(
            ["H/1/saved_model.pb", "H/code/i.py"], ["1/saved_model.pb", "code/i.py"], id="tf"
        ),
        pytest.param(["H/H", "H/x"], ["H", "x"], id="same-name-inside"),
        pytest.param(["H/net/1/model.onnx"], ["net/1/model.onnx"], id="wrapped-triton"),
        pytest.param([".DS_Store", "H/m.json"], ["m.json"], id="beside-junk"),
    ],
)
def test_wrapping_folder_is_lifted_with_a_warning(pack, kind, packed, unpacked, into):
    problems = unpack(pack(dict.fromkeys(packed, b"m")), kind, into)

    wrapper = packed[-1].partition("/")[0]
    assert sorted(files_below(into)) == unpacked
    assert problems == [
        f'the archive wraps its files in the folder "{wrapper}"; pack them at the top level'
    ]


@pytest.mark.parametrize(
    "names",
    [
        pytest.param(["1/saved_model.pb"], id="tensorflow"),
        pytest.param(["000000001/saved_model.pb", "000000001/variables/v"], id="leading-zeros"),
        pytest.param(["export/Servo/1/saved_model.pb"], id="servo"),
        pytest.param(["net/1/model.onnx", "net/2/model.onnx"], id="triton-bare"),
        pytest.param(["net/1/model.onnx", "net/config.pbtxt", "net/labels.txt"], id="triton"),
        pytest.param(["code/inference.py"], id="code"),
        pytest.param(["H/a.json", "b.json"], id="file-beside"),
        pytest.param(["H/a.json", "I/b.json"], id="two-folders"),
    ],
)
def test_folder_with_a_meaning_stays(names, into):
    problems = unpack(archives.tar_of(dict.fromkeys(names, b"m")), TAR, into)

    assert sorted(files_below(into)) == sorted(names)
    assert problems == []


@pytest.mark.parametrize(
    ("name", "head", "kind"),
    [
        ("Houston_TX.tar.gz", b"", GZ),
        ("Houston_TX.tar.gz", GOOD_TAR[:512], TAR),
        ("Houston_TX.tar.gz", GOOD_ZIP[:512], ZIP),
        ("Houston_TX.tar.gz", bz2.compress(b""), BZ2),
        ("Houston_TX.tar.gz", lzma.compress(b""), XZ),
        ("m.tar", GOOD_GZ[:512], GZ),
        ("m.tar.bz2", b"", BZ2),
        ("m.tbz2", GOOD_GZ[:512], GZ),
        ("m.tar.xz", b"", XZ),
        ("m.txz", b"", XZ),
        ("m.tar.zst", b"", ZST),
        ("ModelA", b"\x28\xb5\x2f\xfd", ZST),
        ("ModelA", bz2.compress(b""), BZ2),
        ("a/b/M.TGZ", b"", GZ),
        ("m.tar", b"", TAR),
        ("m.Zip", b"", ZIP),
        ("ModelA", GOOD_GZ[:512], GZ),
        ("ModelA", GOOD_ZIP[:512], ZIP),
        ("ModelA", archives.zip_of({}), ZIP),
        ("ModelA", GOOD_TAR[:512], TAR),
        ("model-v1.2", GOOD_GZ[:512], GZ),
        ("ModelA", b"", None),
        ("xgboost-model", b'{"learner":', None),
        ("m.skops", GOOD_ZIP[:512], None),
        ("m.joblib", GOOD_GZ[:512], None),
        ("m.joblib.gz", GOOD_GZ[:512], None),
        ("m.pkl.bz2", bz2.compress(b""), None),
        ("m.joblib.xz", lzma.compress(b""), None),
        ("m.ONNX", b"\x08\x07", None),
    ],
)
def test_packing_is_known_by_magic_else_by_suffix(name, head, kind):
    assert archive_kind(name, head) is kind
