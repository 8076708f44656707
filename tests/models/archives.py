"""Builds model archives as bytes: good ones, and every bad one we could think of."""

import gzip
import io
import stat
import struct
import tarfile
import zipfile
from collections.abc import Iterable, Mapping

Member = tuple[tarfile.TarInfo, bytes]


def tar_file(name: str, body: bytes = b"model") -> Member:
    info = tarfile.TarInfo(name)
    info.size = len(body)
    return info, body


def tar_special(name: str, kind: bytes, target: str = "") -> Member:
    info = tarfile.TarInfo(name)
    info.type = kind
    info.linkname = target
    return info, b""


def tar_folder(name: str) -> Member:
    return tar_special(name, tarfile.DIRTYPE)


def tar(*members: Member, dialect: int = tarfile.PAX_FORMAT) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=dialect) as archive:
        for info, body in members:
            archive.addfile(info, io.BytesIO(body))
    return buffer.getvalue()


def tar_of(files: Mapping[str, bytes]) -> bytes:
    return tar(*(tar_file(name, body) for name, body in files.items()))


def tar_gz(*members: Member) -> bytes:
    return gzip.compress(tar(*members), mtime=0)


def tar_gz_of(files: Mapping[str, bytes]) -> bytes:
    return gzip.compress(tar_of(files), mtime=0)


def tar_gz_bomb(unpacked_bytes: int) -> bytes:
    """Zeros: about a thousand times smaller packed than unpacked."""
    return tar_gz(tar_file("model.onnx", bytes(unpacked_bytes)))


def tar_with_huge_extended_header(size: int) -> bytes:
    info = tarfile.TarInfo("pax")
    info.type = tarfile.XHDTYPE
    info.size = size
    return info.tobuf(tarfile.USTAR_FORMAT) + bytes(1024)


def tar_with_extended_headers(count: int) -> bytes:
    info = tarfile.TarInfo("pax")
    info.type = tarfile.XHDTYPE
    return info.tobuf(tarfile.USTAR_FORMAT) * count + tar(tar_file("model.onnx"))


def tar_with_pax(records: Mapping[str, str]) -> bytes:
    info, body = tar_file("model.onnx")
    info.pax_headers = dict(records)
    return tar((info, body))


def tar_with_global_pax(records: Mapping[str, str], *members: Member) -> bytes:
    buffer = io.BytesIO()
    headers = dict(records)
    with tarfile.open(
        fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT, pax_headers=headers
    ) as t:
        for info, body in members:
            t.addfile(info, io.BytesIO(body))
    return buffer.getvalue()


def tar_with_broken_second_header() -> bytes:
    whole = bytearray(tar_of({"a.onnx": b"a", "b.onnx": b"b"}))
    whole[1024:1034] = b"not a name"
    return bytes(whole)


def zip_of(files: Mapping[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    return zip_entries([(zipfile.ZipInfo(name), body) for name, body in files.items()], method)


def zip_entries(
    entries: Iterable[tuple[zipfile.ZipInfo, bytes]], method: int = zipfile.ZIP_DEFLATED
) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for info, body in entries:
            archive.writestr(info, body, compress_type=method)
    return buffer.getvalue()


def zip_special(name: str, mode: int, body: bytes = b"/etc/passwd") -> bytes:
    info = zipfile.ZipInfo(name)
    info.create_system = 3
    info.external_attr = (mode | 0o644) << 16
    return zip_entries([(info, body)])


def zip_symlink(name: str) -> bytes:
    return zip_special(name, stat.S_IFLNK)


def zip_encrypted() -> bytes:
    """A stored entry whose flags claim encryption, which is all a reader sees of it."""
    return _with_zip_field(zip_of({"model.onnx": b"secret"}), local=6, central=8, value=1)


def zip_with_claimed_size(size: int) -> bytes:
    """The directory claims another size than the 5000 bytes the entry unpacks to."""
    whole = bytearray(zip_of({"model.onnx": bytes(5000)}))
    central = whole.index(b"PK\x01\x02")
    whole[central + 24 : central + 28] = struct.pack("<I", size)
    return bytes(whole)


def zip_with_entry_before_its_start() -> bytes:
    """The directory claims to lie further behind than it does, so entries begin below zero."""
    whole = bytearray(zip_of({"model.onnx": b"model"}))
    end = whole.index(b"PK\x05\x06")
    (offset,) = struct.unpack_from("<I", whole, end + 16)
    struct.pack_into("<I", whole, end + 16, offset + 500)
    return bytes(whole)


def zip_with_wrong_checksum() -> bytes:
    whole = bytearray(zip_of({"model.onnx": b"model" * 10}))
    central = whole.index(b"PK\x01\x02")
    whole[central + 16 : central + 20] = b"\0\0\0\0"
    return bytes(whole)


def zip_with_nul_in_name() -> bytes:
    return zip_of({"model.onnxQ.exe": b"model"}).replace(b"model.onnxQ.exe", b"model.onnx\0.exe")


def _with_zip_field(archive: bytes, local: int, central: int, value: int) -> bytes:
    whole = bytearray(archive)
    start = whole.index(b"PK\x01\x02")
    whole[local : local + 2] = struct.pack("<H", value)
    whole[start + central : start + central + 2] = struct.pack("<H", value)
    return bytes(whole)
