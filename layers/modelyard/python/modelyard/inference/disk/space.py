"""How much of a disk files take: whole blocks, and a share for inodes and names."""

import os
from pathlib import Path

_BLOCK_BYTES = 4096
_INODE_BYTES = 512
"""What an inode and its name in a folder take; `du` does not count all of it. It also bounds the
number of files, which disks limit, too."""


def cost_of(size_bytes: int) -> int:
    """Return the bytes of disk that one file with `size_bytes` of content takes."""
    return -(-size_bytes // _BLOCK_BYTES) * _BLOCK_BYTES + _INODE_BYTES


FOLDER_BYTES = cost_of(1)
"""The bytes of disk that one folder takes; its names count with their files."""


def usage_of(folder: Path) -> int:
    """Return the bytes of disk that a folder takes with all that is in it; 0 when there is none."""
    total = 0
    for path, _, names in os.walk(folder):
        total += sum(_usage_of(os.path.join(path, name)) for name in (".", *names))  # noqa: PTH118
    return total


def blocks_of(path: Path) -> int:
    """Return the bytes of the blocks of one file or folder; 0 when there is none."""
    try:
        return path.lstat().st_blocks * 512
    except FileNotFoundError:
        return 0


def _usage_of(path: str) -> int:
    try:
        status = os.lstat(path)
    except FileNotFoundError:
        return 0
    # Some file systems give a new file its blocks later.
    return max(status.st_blocks * 512 + _INODE_BYTES, cost_of(status.st_size))
