"""Whatever the bytes, nothing is written outside the folder."""

import bz2
import contextlib
import gzip
import lzma
import tarfile
import zipfile
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import given, settings
from hypothesis import strategies as st

from modelyard.domain.errors import ModelyardError
from modelyard.inference.archives.archive import ArchiveKind, ArchiveLimits
from tests.models import archives
from tests.properties import examples
from tests.unit.inference.archives.unpacking import (
    BZ2,
    GOOD_GZ,
    GOOD_TAR,
    GZ,
    MIB,
    TAR,
    XZ,
    ZIP,
    unpack,
)

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
    data, kind = draw(
        st.sampled_from([(GOOD_GZ, GZ), (GOOD_TAR, TAR), (SMALL_ZIP, ZIP), *PACKED_TARS])
    )
    whole = bytearray(data)
    for _ in range(draw(st.integers(1, 6))):
        place = draw(st.integers(0, len(whole) - 1))
        whole[place : place + draw(st.integers(0, 4))] = draw(st.binary(max_size=4))
        whole = whole or bytearray(b"x")
    return bytes(whole), kind


SMALL_ZIP = archives.zip_of({"a/model.onnx": b"model" * 20, "b.json": b"{}"})
PACKED_TARS = [(bz2.compress(GOOD_TAR), BZ2), (lzma.compress(GOOD_TAR), XZ)]
HOSTILE = st.one_of(
    hostile_tars().map(lambda data: (data, TAR)),
    hostile_tars().map(lambda data: (gzip.compress(data), GZ)),
    hostile_tars().map(lambda data: (bz2.compress(data), BZ2)),
    hostile_tars().map(lambda data: (lzma.compress(data, preset=0), XZ)),
    hostile_zips().map(lambda data: (data, ZIP)),
    mutated(),
    st.tuples(st.binary(max_size=2000), st.sampled_from(ArchiveKind)),
)


@settings(max_examples=examples(400))
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
