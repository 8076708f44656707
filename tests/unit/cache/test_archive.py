"""Archives are hostile until unpacked: nothing outside the folder, nothing beyond the limits."""

import contextlib
import gzip
import io
import random
import stat
import tarfile
import time
import warnings
import zipfile
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.models import archives

from modelyard.cache.archive import ArchiveKind, ArchiveLimits, archive_kind, extract
from modelyard.errors import (
    ArtifactInvalidError,
    CapacityError,
    DependencyError,
    ModelTooLargeError,
    ModelyardError,
)

GZ, TAR, ZIP = ArchiveKind.TAR_GZ, ArchiveKind.TAR, ArchiveKind.ZIP
MIB = 1024 * 1024


class Budget:
    """Remembers what was claimed; refuses above `most`."""

    def __init__(self, most: int = 1 << 62) -> None:
        self.most = most
        self.claims: list[int] = []

    def reserve(self, total_bytes: int) -> None:
        self.claims.append(total_bytes)
        if total_bytes > self.most:
            raise CapacityError("the disk is full")


@pytest.fixture
def into(tmp_path: Path) -> Path:
    folder = tmp_path / "work" / "model"
    folder.mkdir(parents=True)
    return folder


def unpack(data: bytes, kind: ArchiveKind, into: Path, **options) -> list[str]:
    return extract(io.BytesIO(data), kind, into, options.pop("budget", Budget()), **options)


def files_below(folder: Path) -> dict[str, bytes]:
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


def bytes_below(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


PACKED = [
    pytest.param(archives.tar_gz_of, GZ, id="tar.gz"),
    pytest.param(archives.tar_of, TAR, id="tar"),
    pytest.param(archives.zip_of, ZIP, id="zip"),
    pytest.param(lambda files: archives.zip_of(files, zipfile.ZIP_STORED), ZIP, id="stored-zip"),
]


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


def test_gzip_with_trailing_garbage_is_fine(into):
    unpack(archives.tar_gz_of({"model.onnx": b"weights"}) + b"garbage" * 50_000, GZ, into)

    assert files_below(into) == {"model.onnx": b"weights"}


def test_dot_slash_names_lose_their_dot(into):
    members = [archives.tar_folder("./"), *map(archives.tar_file, ["./x", "./a//m.onnx"])]

    unpack(archives.tar(*members), TAR, into)

    assert set(files_below(into)) == {"x", "a/m.onnx"}


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


GOOD_GZ = archives.tar_gz_of({"model.onnx": random.Random(2).randbytes(100_000)})
BAD_CRC_GZ = GOOD_GZ[:-8] + bytes(4) + GOOD_GZ[-4:]
GOOD_TAR = archives.tar_of({"a.onnx": b"a" * 2000, "b.onnx": b"b"})
GOOD_ZIP = archives.zip_of({"model.onnx": random.Random(3).randbytes(100_000)})


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
        pytest.param(archives.zip_with_understated_size(), ZIP, id="zip-understated-size"),
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


@pytest.mark.parametrize(("pack", "kind"), PACKED)
def test_a_hundred_thousand_members_stop_early(pack, kind, into):
    data = pack(dict.fromkeys(map(str, range(100_000)), b""))
    before = time.process_time()

    with pytest.raises(ArtifactInvalidError, match="members"):
        unpack(data, kind, into)

    assert time.process_time() - before < 10
    assert len(list(into.iterdir())) <= 10_000


@pytest.mark.parametrize(("pack", "kind"), PACKED)
def test_member_limit_is_exact(pack, kind, into):
    limits = ArchiveLimits(max_members=3)
    unpack(pack(dict.fromkeys("abc", b"x")), kind, into, limits=limits)

    with pytest.raises(ArtifactInvalidError, match="more than 3 members"):
        unpack(pack(dict.fromkeys("defg", b"x")), kind, into, limits=limits)


BOMBS = [
    pytest.param(archives.tar_gz_bomb(64 * MIB), GZ, id="tar.gz"),
    pytest.param(archives.zip_of({"model.onnx": bytes(64 * MIB)}), ZIP, id="zip"),
]


@pytest.mark.parametrize(("data", "kind"), BOMBS)
def test_bomb_stops_at_the_ratio(data, kind, into):
    with pytest.raises(ArtifactInvalidError, match="more than 200 times"):
        unpack(data, kind, into)

    assert bytes_below(into) <= max(200 * len(data), 10 * MIB) + MIB


def test_bomb_in_a_skipped_member_stops_too(into):
    data = archives.tar_gz_of({"._junk": bytes(64 * MIB)})

    with pytest.raises(ArtifactInvalidError, match="more than 200 times"):
        unpack(data, GZ, into)


def test_bomb_behind_the_end_mark_stops_too(into):
    data = gzip.compress(archives.tar_of({"m": b"m"}) + bytes(64 * MIB))

    with pytest.raises(ArtifactInvalidError, match="more than 200 times"):
        unpack(data, GZ, into)


def test_compressible_but_small_is_no_bomb(into):
    unpack(archives.tar_gz_bomb(9 * MIB), GZ, into)

    assert bytes_below(into) == 9 * MIB


@pytest.mark.parametrize(("pack", "kind"), PACKED)
def test_byte_limit_is_exact(pack, kind, into):
    data = pack({"a": b"x" * 400, "b": b"y" * 600})
    unpack(data, kind, into, limits=ArchiveLimits(max_bytes=max(1000, len(data))))

    with pytest.raises(ModelTooLargeError, match="more than the allowed 999 bytes"):
        (into / "again").mkdir()
        unpack(data, kind, into / "again", limits=ArchiveLimits(max_bytes=999))

    assert bytes_below(into / "again") <= 400


@pytest.mark.parametrize(("pack", "kind"), PACKED)
def test_budget_is_asked_before_the_bytes_are_written(pack, kind, into):
    data = pack({"a": b"x" * 300, "b": b"y" * 700})
    spooled = len(data) if kind is ZIP else 0

    with pytest.raises(CapacityError):
        unpack(data, kind, into, budget=Budget(most=spooled + 999))

    assert files_below(into) == {"a": b"x" * 300}


def test_spooled_zip_is_counted_until_it_is_gone(into):
    data = archives.zip_of({"a": b"x" * 300})
    budget = Budget()

    unpack(data, ZIP, into, budget=budget)

    assert budget.claims == [len(data), len(data) + 300, 300]


def test_failing_source_keeps_its_own_error(into):
    class Broken(io.RawIOBase):
        def read(self, size=-1):
            raise DependencyError("the repository is gone")

    for kind in ArchiveKind:
        with pytest.raises(DependencyError, match="is gone"):
            extract(Broken(), kind, into, Budget())


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
        ("m.ONNX", b"\x08\x07", None),
    ],
)
def test_archive_is_known_by_suffix_else_by_magic(name, head, kind):
    assert archive_kind(name, head) is kind


NAMES = st.lists(
    st.one_of(
        st.sampled_from(["..", ".", "", "a", "b", "C:", "\\", "con", "\0", "é", "x" * 300]),
        st.text(max_size=8),
    ),
    min_size=1,
    max_size=5,
).map("/".join)
TAR_TYPES = st.sampled_from(
    [*(b"0", b"1", b"2", b"3", b"4", b"5", b"6", b"7", b"S", b"L", b"K", b"x", b"g", b"V", b"\0")]
)


@st.composite
def hostile_tars(draw) -> bytes:
    blocks = b""
    for _ in range(draw(st.integers(0, 6))):
        body = draw(st.binary(max_size=600))
        info = tarfile.TarInfo(draw(NAMES))
        info.type = draw(TAR_TYPES)
        info.linkname = draw(NAMES)
        info.size = draw(st.sampled_from([len(body), len(body), 0, 10**9, 8**11]))
        with contextlib.suppress(UnicodeEncodeError):
            blocks += info.tobuf(tarfile.GNU_FORMAT)
            blocks += body + bytes(-len(body) % 512)
    return blocks + draw(st.sampled_from([bytes(1024), b""]))


@st.composite
def hostile_zips(draw) -> bytes:
    entries = []
    for name in draw(st.lists(NAMES, max_size=5, unique=True)):
        info = zipfile.ZipInfo("n")
        info.filename = name
        info.external_attr = draw(st.integers(0, 2**32 - 1))
        entries.append((info, draw(st.binary(max_size=300))))
    return archives.zip_entries(entries, draw(st.sampled_from([0, 8, 12, 14])))


@st.composite
def mutated(draw) -> tuple[bytes, ArchiveKind]:
    data, kind = draw(st.sampled_from([(GOOD_GZ, GZ), (GOOD_TAR, TAR), (SMALL_ZIP, ZIP)]))
    whole = bytearray(data)
    for _ in range(draw(st.integers(1, 6))):
        place = draw(st.integers(0, len(whole) - 1))
        whole[place : place + draw(st.integers(0, 4))] = draw(st.binary(max_size=4))
        whole = whole or bytearray(b"x")
    return bytes(whole), kind


SMALL_ZIP = archives.zip_of({"a/model.onnx": b"model" * 20, "b.json": b"{}"})
HOSTILE = st.one_of(
    hostile_tars().map(lambda data: (data, TAR)),
    hostile_tars().map(lambda data: (gzip.compress(data), GZ)),
    hostile_zips().map(lambda data: (data, ZIP)),
    mutated(),
    st.tuples(st.binary(max_size=2000), st.sampled_from(ArchiveKind)),
)


@settings(max_examples=400, deadline=None)
@given(HOSTILE)
def test_hostile_bytes_stay_inside_or_are_refused(hostile):
    data, kind = hostile
    with TemporaryDirectory() as outside:
        into = Path(outside) / "a" / "b"
        into.mkdir(parents=True)

        with contextlib.suppress(ModelyardError):
            unpack(data, kind, into, limits=ArchiveLimits(max_bytes=MIB))

        everything = list(Path(outside).rglob("*"))
        assert all(path.is_relative_to(into) or path == into.parent for path in everything)
        assert not any(path.is_symlink() for path in everything)
