"""Archives packed with zstd, which Python 3.14 or the package backports.zstd unpacks."""

import random
import sys

import pytest

from modelyard.domain.errors import ArtifactInvalidError
from modelyard.inference.archives import decompression
from tests.models import archives
from tests.unit.inference.archives.unpacking import MIB, ZST, bytes_below, files_below, unpack

WHOLE = archives.tar_of({"model.onnx": random.Random(4).randbytes(100_000)})


@pytest.fixture
def zstd():
    package = "compression" if sys.version_info >= (3, 14) else "backports"
    return pytest.importorskip(f"{package}.zstd")


@pytest.fixture
def into(tmp_path):
    folder = tmp_path / "model"
    folder.mkdir()
    return folder


def test_archive_is_unpacked(zstd, into):
    unpack(zstd.compress(WHOLE), ZST, into)

    assert files_below(into) == {"model.onnx": random.Random(4).randbytes(100_000)}


def test_frames_of_a_parallel_compressor_are_one_archive(zstd, into):
    unpack(zstd.compress(WHOLE[:700]) + zstd.compress(WHOLE[700:]), ZST, into)

    assert list(files_below(into)) == ["model.onnx"]


def test_damage_is_noticed(zstd, into):
    checked = {zstd.CompressionParameter.checksum_flag: 1}
    packed = zstd.compress(WHOLE, options=checked)
    changed = packed[:-1] + bytes([packed[-1] ^ 1])

    for data in (packed[:-1], packed[:5000], changed, packed[:5000] + bytes(9) + packed[5009:]):
        with pytest.raises(ArtifactInvalidError, match="zstd"):
            unpack(data, ZST, into)


def test_bomb_stops_at_the_ratio(zstd, into):
    data = zstd.compress(archives.tar_of({"m": bytes(64 * MIB)}))

    with pytest.raises(ArtifactInvalidError, match="more than 200 times"):
        unpack(data, ZST, into)

    assert bytes_below(into) <= max(200 * len(data), 10 * MIB) + MIB


def test_window_that_takes_much_memory_is_refused(zstd, into):
    # A frame header without a size asks for a window of 256 MiB.
    data = b"\x28\xb5\x2f\xfd" + bytes([0, 18 << 3]) + bytes([1, 0, 0])

    with pytest.raises(ArtifactInvalidError, match="takes more than 128 MiB of memory"):
        unpack(data, ZST, into)


def test_a_python_without_zstd_says_what_to_do(monkeypatch, into):
    monkeypatch.setattr(decompression, "_ZSTD_MODULES", ())

    with pytest.raises(
        ArtifactInvalidError, match=r"pip install .modelyard\[zstd\].* as \.tar\.gz"
    ):
        unpack(b"\x28\xb5\x2f\xfd", ZST, into)
