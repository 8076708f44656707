from pathlib import Path

import pytest

from modelyard.domain.ports import Predictor
from modelyard.domain.values import Payload, Prediction
from modelyard.inference.quarantine import (
    Quarantine,
    RunningModels,
    content_of,
    open_running,
    take_running,
)
from modelyard.runtimes.base import LoadPlan


class Model:
    """Looks at what is noted while it runs."""

    memory_bytes = 7
    needs_files = True
    always_ends = True

    def __init__(self, running_file: Path) -> None:
        self._running_file = running_file
        self.seen: set[Path] = set()
        self.is_closed = False

    def predict(self, payload: Payload) -> Prediction:
        self.seen = take_running(self._running_file)
        return Prediction(payload.body)

    def close(self) -> None:
        self.is_closed = True


def plan_of(model_dir: Path) -> LoadPlan:
    return LoadPlan("xgboost", model_dir, None, 0, allow_code=False)


def model_folder(folder: Path, name: str, content: str = "weights") -> Path:
    made = folder / name
    made.mkdir()
    (made / "model.ubj").write_text(content)
    return made


def test_model_is_noted_while_it_is_loaded_and_while_it_predicts(tmp_path: Path) -> None:
    file, folder = tmp_path / "running", model_folder(tmp_path, "one")
    running, model = RunningModels(open_running(file)), Model(file)
    seen_at_load = []

    def load(plan: LoadPlan) -> Predictor:
        seen_at_load.append(take_running(file))
        return model

    loaded = running.load(load, plan_of(folder))
    loaded.predict(Payload(b"1"))

    assert (seen_at_load, model.seen) == ([{folder}], {folder})
    assert take_running(file) == set()
    assert (loaded.memory_bytes, loaded.needs_files) == (7, True)


def test_failed_load_is_noted_no_longer(tmp_path: Path) -> None:
    running = RunningModels(open_running(tmp_path / "running"))

    def load(plan: LoadPlan) -> Predictor:
        raise ValueError

    with pytest.raises(ValueError):
        running.load(load, plan_of(tmp_path))

    assert take_running(tmp_path / "running") == set()


def test_more_models_than_there_are_places_run_all_the_same(tmp_path: Path) -> None:
    running = RunningModels()

    places = [running.begin(b"/model") for _ in range(600)]
    for place in places:
        running.end(place)

    assert running.begin(b"/model") >= 0


def test_process_that_never_ran_has_left_nothing(tmp_path: Path) -> None:
    assert take_running(tmp_path / "none") == set()


def test_same_content_is_quarantined_under_every_name(tmp_path: Path) -> None:
    quarantine, workers = (Quarantine(tmp_path / "quarantine") for _ in range(2))
    killer, copy = (model_folder(tmp_path, name) for name in ("killer", "copy"))
    other = model_folder(tmp_path, "other", "other weights")

    before = workers.holds(killer)
    quarantine.add([killer])

    assert (before, workers.holds(killer), workers.holds(copy)) == (False, True, True)
    assert not workers.holds(other)


def test_changed_content_is_not_quarantined(tmp_path: Path) -> None:
    quarantine, killer = Quarantine(tmp_path / "quarantine"), model_folder(tmp_path, "killer")
    quarantine.add([killer])

    (killer / "model.ubj").write_text("mended")

    assert not quarantine.holds(killer)


def test_model_whose_files_are_gone_is_left_out(tmp_path: Path) -> None:
    quarantine, killer = Quarantine(tmp_path / "quarantine"), model_folder(tmp_path, "killer")

    quarantine.add([tmp_path / "gone", killer])

    assert quarantine.holds(killer)


def test_content_depends_on_names_and_bytes(tmp_path: Path) -> None:
    folders = [model_folder(tmp_path, str(number)) for number in range(3)]
    (folders[1] / "model.ubj").rename(folders[1] / "other.ubj")
    (folders[2] / "more").write_bytes(b"")

    assert len({content_of(folder) for folder in folders}) == 3
