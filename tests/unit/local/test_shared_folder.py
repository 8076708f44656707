import asyncio
import shutil
import sys
from pathlib import Path

import pytest

from modelyard.local import supervisor
from modelyard.local.processes.health import Health, ProcessState
from modelyard.local.shared_folder import SharedFolder
from tests.supervised import body_of, models_in, until

NAMES = ["worker-0"]


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
@pytest.mark.parametrize("deleted", ["", "health"])
def test_files_outlive_their_deletion(tmp_path: Path, deleted: str) -> None:
    folder = tmp_path / "temporary" / "sockets"
    folder.mkdir(parents=True)
    written = Health.create(folder / "health", NAMES)
    shared = SharedFolder(folder, [folder / "health"])
    assert shared.is_whole

    if deleted:
        (folder / deleted).unlink()
    else:
        shutil.rmtree(folder.parent)
    assert not shared.is_whole
    shared.restore()

    assert shared.is_whole
    read = Health.open(folder / "health", NAMES)
    written.set("worker-0", ProcessState.UP)
    assert read.of("worker-0") is ProcessState.UP
    assert folder.stat().st_mode & 0o777 == 0o700 or deleted
    shared.close()


def test_folder_of_somebody_else_is_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "sockets"
    folder.mkdir()
    Health.create(folder / "health", NAMES)
    shared = SharedFolder(folder, [folder / "health"])
    shutil.rmtree(folder)
    folder.symlink_to(tmp_path)  # anybody may make one in a folder for temporary files

    with pytest.raises(PermissionError, match="belongs to another user"):
        shared.restore()
    shared.close()


@pytest.mark.long
@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
def test_server_goes_on_when_the_folder_of_its_sockets_was_deleted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisor, "FOLDER_EVERY_S", 0.05)

    async def scenario() -> None:
        with models_in(tmp_path) as models:
            echo = models.add("echo")
            async with models.served(workers=2) as backend:
                shutil.rmtree(models.sockets)
                await until(lambda: len(list(models.sockets.glob("worker-*.sock"))) == 2)

                for worker in (0, 1):
                    answer = await backend.call(worker, models.request(echo), 30.0)
                    assert body_of(answer) == b"1"

    asyncio.run(scenario())
