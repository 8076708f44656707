"""Damaged and hostile archives are refused by name."""

import gzip
import stat
import tarfile
import warnings
import zipfile
from pathlib import Path

import pytest

from modelyard.domain.errors import ArtifactInvalidError
from tests.models import archives
from tests.unit.inference.archives.unpacking import (
    BAD_CRC_GZ,
    GOOD_GZ,
    GOOD_TAR,
    GOOD_ZIP,
    GZ,
    PACKED,
    TAR,
    ZIP,
    files_below,
    unpack,
)


@pytest.fixture
def into(tmp_path: Path) -> Path:
    folder = tmp_path / "work" / "model"
    folder.mkdir(parents=True)
    return folder


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        pytest.param(b"", GZ, id="empty-gzip"),
        pytest.param(b"hello world", GZ, id="not-gzip"),
        *(pytest.param(GOOD_GZ[:cut], GZ, id=f"gzip-cut-{cut}") for cut in (1, 9, 600, 50_000, -9)),
        *(pytest.param(GOOD_GZ[:cut], GZ, id=f"gzip-cut-{cut}") for cut in (-8, -4, -1)),
        pytest.param(BAD_CRC_GZ, GZ, id="gzip-checksum"),
        pytest.param(gzip.compress(b"no tar at all"), GZ, id="gzip-of-no-tar"),
        pytest.param(b"", TAR, id="empty-tar"),
        pytest.param(b"x" * 2048, TAR, id="not-tar"),
        *(pytest.param(GOOD_TAR[:cut], TAR, id=f"tar-cut-{cut}") for cut in (100, 512, 1500, 3072)),
        pytest.param(archives.tar_with_broken_second_header(), TAR, id="tar-damaged-header"),
        pytest.param(archives.tar_with_pax({"size": "-1"}), TAR, id="tar-negative-size"),
        pytest.param(archives.tar_with_pax({"size": "x"}), TAR, id="tar-word-as-size"),
        pytest.param(archives.tar_with_extended_headers(5000), TAR, id="tar-header-chain"),
        pytest.param(b"", ZIP, id="empty-zip"),
        pytest.param(b"PK\x03\x04" + bytes(100), ZIP, id="not-zip"),
        *(pytest.param(GOOD_ZIP[:cut], ZIP, id=f"zip-cut-{cut}") for cut in (10, 5000, -1, -30)),
        pytest.param(archives.zip_with_wrong_checksum(), ZIP, id="zip-checksum"),
        pytest.param(archives.zip_with_claimed_size(1), ZIP, id="zip-understated-size"),
        pytest.param(archives.zip_with_claimed_size(9000), ZIP, id="zip-overstated-size"),
        pytest.param(archives.zip_with_entry_before_its_start(), ZIP, id="zip-negative-offset"),
    ],
)
def test_damage_is_an_invalid_artifact(data, kind, into):
    with pytest.raises(ArtifactInvalidError, match=r"is truncated or not a (gzip|tar|zip) archive"):
        unpack(data, kind, into)


def test_huge_extended_header_is_refused_unread(into):
    with pytest.raises(ArtifactInvalidError, match="extended header above"):
        unpack(archives.tar_with_huge_extended_header(8 * 1024**3 - 1), TAR, into)


@pytest.mark.parametrize(("pack", "kind"), PACKED)
@pytest.mark.parametrize(
    "name",
    [
        pytest.param("/etc/passwd", id="absolute"),
        pytest.param("../evil", id="parent"),
        pytest.param("a/../../evil", id="nested-parent"),
        pytest.param("a/..", id="ends-in-parent"),
        pytest.param("a\\..\\evil", id="backslash"),
        pytest.param("C:/evil", id="drive"),
        pytest.param("c:evil", id="drive-relative"),
        pytest.param("a\nb", id="newline"),
        pytest.param("a\x1b[2J", id="escape"),
        pytest.param("a\x7f", id="delete"),
        pytest.param("a\x85b", id="c1-control"),
        pytest.param("/".join("d" * 33), id="too-deep"),
        pytest.param("n" * 256, id="part-too-long"),
        pytest.param("ü" * 128, id="part-too-long-in-bytes"),
        pytest.param("/".join(["n" * 99] * 11), id="path-too-long"),
    ],
)
def test_unsafe_name_is_refused(pack, kind, name, into):
    with pytest.raises(ArtifactInvalidError, match=r"unsafe name|too long a path"):
        unpack(pack({"model.onnx": b"m", name: b"evil"}), kind, into)

    assert set(files_below(into.parent)) <= {"model/model.onnx"}


def test_name_that_is_not_utf8_is_refused(into):
    data = archives.tar(archives.tar_file("caf\udce9"), dialect=tarfile.GNU_FORMAT)

    with pytest.raises(ArtifactInvalidError, match="unsafe name"):
        unpack(data, TAR, into)


@pytest.mark.parametrize(
    ("data", "kind", "word"),
    [
        pytest.param(
            archives.tar(archives.tar_special("evil", type_, "/etc/passwd")), TAR, word, id=word
        )
        for type_, word in [
            (tarfile.SYMTYPE, "symbolic link"),
            (tarfile.LNKTYPE, "hard link"),
            (tarfile.CHRTYPE, "device"),
            (tarfile.BLKTYPE, "device"),
            (tarfile.FIFOTYPE, "fifo"),
            (tarfile.GNUTYPE_SPARSE, "sparse file"),
            (b"Z", "member of type"),
        ]
    ]
    + [
        pytest.param(
            archives.tar_with_pax({"GNU.sparse.major": "1", "path": "evil"}),
            TAR,
            "sparse file",
            id="pax-sparse",
        ),
        pytest.param(archives.zip_symlink("evil"), ZIP, "symbolic link", id="zip-symlink"),
        pytest.param(
            archives.zip_special("evil", stat.S_IFIFO), ZIP, "special file", id="zip-fifo"
        ),
        pytest.param(
            archives.zip_encrypted().replace(b"model.onnx", b"evil.model"),
            ZIP,
            "encrypted file",
            id="zip-encrypted",
        ),
        pytest.param(
            archives.zip_of({"evil": bytes(99)}, zipfile.ZIP_LZMA), ZIP, "method 14", id="zip-lzma"
        ),
        pytest.param(
            archives.zip_of({"evil": bytes(99)}, zipfile.ZIP_BZIP2), ZIP, "method 12", id="zip-bz2"
        ),
    ],
)
def test_anything_but_files_is_refused_by_name(data, kind, word, into):
    with pytest.raises(ArtifactInvalidError, match=f"'evil.*{word}"):
        unpack(data, kind, into)

    assert files_below(into) == {}


def test_file_through_a_link_of_the_archive_is_refused(into):
    link = archives.tar_special("door", tarfile.SYMTYPE, "..")

    with pytest.raises(ArtifactInvalidError, match="symbolic link"):
        unpack(archives.tar(link, archives.tar_file("door/evil")), TAR, into)

    assert list(into.parent.iterdir()) == [into]


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE])
@pytest.mark.parametrize(
    "target",
    [
        "/etc/passwd",
        "../m.onnx",
        "a/../../../x",
        "gone.onnx",
        "folder",
        "itself",
        "C:x",
        "a\\b",
        ".",
    ],
)
def test_link_to_anything_but_a_file_of_the_archive_is_named(kind, target, into):
    members = [archives.tar_file("m.onnx"), archives.tar_file("folder/x")]
    links = [
        archives.tar_special("itself", tarfile.SYMTYPE, "itself"),
        archives.tar_special("deep/er/odd", kind, target),
    ]

    named = r"'(deep/er/odd|itself)' is a .* link .* pack the file itself"
    with pytest.raises(ArtifactInvalidError, match=named):
        unpack(archives.tar(*members, *links[target != "itself" :]), TAR, into)

    assert set(files_below(into.parent)) == {"model/m.onnx", "model/folder/x"}


@pytest.mark.parametrize("name", [f"{'long' * 50}/{'name' * 50}/../x", f"/{'n' * 900}"])
def test_refusal_names_the_whole_path(name, into):
    with pytest.raises(ArtifactInvalidError) as caught:
        unpack(archives.tar(archives.tar_file(name)), TAR, into)

    assert repr(name) in str(caught.value)


def test_nul_in_a_zip_name_is_refused(into):
    with pytest.raises(ArtifactInvalidError, match="unsafe name"):
        unpack(archives.zip_with_nul_in_name(), ZIP, into)


@pytest.mark.parametrize(
    "members",
    [
        pytest.param(["m", "m"], id="file-twice"),
        pytest.param(["m", "./m"], id="file-twice-spelt-differently"),
        pytest.param(["m", "m/x"], id="file-then-folder"),
        pytest.param(["m/x", "m"], id="folder-then-file"),
        pytest.param(["m/x", "m/x/y/z"], id="file-then-deep-folder"),
    ],
)
@pytest.mark.parametrize("kind", [TAR, ZIP], ids=["tar", "zip"])
def test_clash_of_names_is_refused(members, kind, into):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # zipfile warns of the duplicate it is asked to write
        packed = {
            TAR: archives.tar(*map(archives.tar_file, members)),
            ZIP: archives.zip_entries([(zipfile.ZipInfo(name), b"x") for name in members]),
        }

    with pytest.raises(ArtifactInvalidError, match=r"holds '.*' twice"):
        unpack(packed[kind], kind, into)


def test_global_attributes_speak_of_every_member(into):
    members = [archives.tar_file("a"), archives.tar_file("b")]

    with pytest.raises(ArtifactInvalidError, match="holds 'm' twice"):
        unpack(archives.tar_with_global_pax({"path": "m"}, *members), TAR, into)


def test_folder_listed_twice_is_fine(into):
    folder = archives.tar_folder("1")

    unpack(archives.tar(folder, archives.tar_file("1/m"), folder), TAR, into)

    assert files_below(into) == {"1/m": b"model"}


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        pytest.param(archives.tar_gz(), GZ, id="tar.gz"),
        pytest.param(archives.tar(), TAR, id="tar"),
        pytest.param(archives.zip_of({}), ZIP, id="zip"),
        pytest.param(archives.tar(archives.tar_folder("a")), TAR, id="only-folders"),
        pytest.param(archives.tar_of({".DS_Store": b""}), TAR, id="only-junk"),
        pytest.param(archives.tar(archives.tar_folder("./")), TAR, id="only-the-root"),
        pytest.param(archives.tar_of({".": b"x"}), TAR, id="a-file-named-dot"),
    ],
)
def test_archive_without_files_is_an_invalid_artifact(data, kind, into):
    with pytest.raises(ArtifactInvalidError, match="holds no files"):
        unpack(data, kind, into)
