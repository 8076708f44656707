"""Archives are hostile until unpacked: nothing beyond the limits."""

import bz2
import gzip
import io
import lzma
import tarfile
import zlib
from functools import cache
from pathlib import Path

import pytest

from modelyard.domain.errors import (
    ArtifactInvalidError,
    CapacityError,
    DependencyError,
    ModelTooLargeError,
)
from modelyard.inference.archives.archive import ArchiveKind, ArchiveLimits, extract
from modelyard.inference.disk.space import FOLDER_BYTES, cost_of
from tests.models import archives
from tests.unit.inference.archives.unpacking import (
    BZ2,
    GZ,
    MIB,
    PACKED,
    TAR,
    XZ,
    ZIP,
    ZST,
    Budget,
    bytes_below,
    files_below,
    unpack,
)


@pytest.fixture
def into(tmp_path: Path) -> Path:
    folder = tmp_path / "work" / "model"
    folder.mkdir(parents=True)
    return folder


@cache
def many_members(pack) -> bytes:
    if pack is archives.tar_gz_of:
        return gzip.compress(many_members(archives.tar_of), 1)
    return pack(dict.fromkeys(map(str, range(10_000)), b""))


@pytest.mark.parametrize(("pack", "kind"), PACKED[:3])
def test_ten_times_as_many_members_as_allowed_stop_early(pack, kind, into):
    data = many_members(pack)

    with pytest.raises(ArtifactInvalidError, match="members"):
        unpack(data, kind, into, limits=ArchiveLimits(max_members=1_000))

    assert len(list(into.iterdir())) <= 1_000


def test_members_of_an_archive_are_limited_by_default():
    assert ArchiveLimits().max_members == 10_000


@pytest.mark.parametrize(("pack", "kind"), PACKED)
def test_member_limit_is_exact(pack, kind, into):
    limits = ArchiveLimits(max_members=3)
    unpack(pack(dict.fromkeys("abc", b"x")), kind, into, limits=limits)

    with pytest.raises(ArtifactInvalidError, match="more than 3 members"):
        unpack(pack(dict.fromkeys("defg", b"x")), kind, into, limits=limits)


def tar_of_zeros() -> bytes:
    return archives.tar_of({"m": bytes(64 * MIB)})


def tar_of_links() -> bytes:
    links = (archives.tar_special(f"{n}", tarfile.LNKTYPE, "m") for n in range(400))
    return archives.tar(archives.tar_file("m", bytes(MIB)), *links)


BOMBS = [
    pytest.param(lambda: archives.tar_gz_bomb(64 * MIB), GZ, id="tar.gz"),
    pytest.param(lambda: archives.zip_of({"model.onnx": bytes(64 * MIB)}), ZIP, id="zip"),
    pytest.param(lambda: bz2.compress(tar_of_zeros(), 1), BZ2, id="tar.bz2"),
    pytest.param(lambda: lzma.compress(tar_of_zeros(), preset=0), XZ, id="tar.xz"),
    pytest.param(tar_of_links, TAR, id="links"),
]


@pytest.mark.parametrize(("pack", "kind"), BOMBS)
def test_bomb_stops_at_the_ratio(pack, kind, into):
    data = pack()

    with pytest.raises(ArtifactInvalidError, match="more than 200 times"):
        unpack(data, kind, into)

    assert bytes_below(into) <= max(200 * len(data), 10 * MIB) + MIB


def test_copies_of_links_count_as_unpacked_bytes(into):
    link = archives.tar_special("b", tarfile.SYMTYPE, "a")
    data = archives.tar(archives.tar_file("a", b"x" * 600), link)

    with pytest.raises(ModelTooLargeError, match="more than the allowed 1000 bytes"):
        unpack(data, TAR, into, limits=ArchiveLimits(max_bytes=1000))
    with pytest.raises(CapacityError):
        (into / "again").mkdir()
        unpack(data, TAR, into / "again", budget=Budget(most=2 * cost_of(600) - 1))

    assert files_below(into) == {"a": b"x" * 600, "again/a": b"x" * 600}


def test_dictionary_that_takes_much_memory_is_refused(into):
    filters = [{"id": lzma.FILTER_LZMA2, "preset": 0, "dict_size": 4096}]
    small = bytearray(lzma.compress(archives.tar_of({"m": b"m"}), filters=filters))
    # The header of the block: its size, its flags, the filter's id, the size of its properties,
    # the dictionary's size as an exponent, padding, and a checksum of these.
    small[16] = 40  # 4 GiB - 1
    header = small[12 : 12 + (small[12] + 1) * 4 - 4]
    small[12 + len(header) : 16 + len(header)] = zlib.crc32(header).to_bytes(4, "little")

    with pytest.raises(ArtifactInvalidError, match="takes more than 96 MiB of memory"):
        unpack(bytes(small), XZ, into)


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
    spooled = cost_of(len(data)) if kind is ZIP else 0

    with pytest.raises(CapacityError):
        unpack(data, kind, into, budget=Budget(most=spooled + 2 * cost_of(1) - 1))

    assert files_below(into) == {"a": b"x" * 300}


def test_spooled_zip_is_counted_until_it_is_gone(into):
    data = archives.zip_of({"a": b"x" * 300})
    budget = Budget()

    unpack(data, ZIP, into, budget=budget)

    assert budget.claims == [cost_of(len(data)), cost_of(len(data)) + cost_of(300), cost_of(300)]


def test_folders_take_disk_too(into):
    budget = Budget()

    unpack(archives.tar_of({"a/b/c": b"", "d": b""}), TAR, into, budget=budget)

    assert budget.claims[-1] == 2 * FOLDER_BYTES + 2 * cost_of(0)


def test_failing_source_keeps_its_own_error(into):
    class Broken(io.RawIOBase):
        def read(self, size=-1):
            raise DependencyError("the repository is gone")

    for kind in set(ArchiveKind) - {ZST}:
        with pytest.raises(DependencyError, match="is gone"):
            extract(Broken(), kind, into, Budget())
