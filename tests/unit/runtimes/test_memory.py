import subprocess
import sys

import pytest

from modelyard.domain.errors import ArtifactInvalidError
from modelyard.runtimes import memory
from modelyard.runtimes.memory import FIXED_BYTES
from modelyard.runtimes.model_format import edges
from tests.models import lightgbm_models, onnx_models, script_models, sklearn_models, xgboost_models

MIB = 2**20


def estimate(runtime, folder, path):
    return memory.estimate(runtime, folder, path, edges(path).format)


def test_json_booster_is_estimated_to_need_more_memory_than_ubj(tmp_path):
    booster = xgboost_models.trained_booster()
    ubj = xgboost_models.save(booster, tmp_path / "model.ubj")
    json = xgboost_models.save(booster, tmp_path / "model.json", "json")

    assert estimate("xgboost", tmp_path, json) > estimate("xgboost", tmp_path, ubj)


def test_booster_costs_more_while_it_is_loaded_than_after(tmp_path):
    path = xgboost_models.save(xgboost_models.trained_booster(), tmp_path / "model.ubj")

    assert estimate("xgboost", tmp_path, path) > memory.trees_bytes(
        "xgboost", path, edges(path).format
    )


def test_lightgbm_model_costs_more_while_it_is_loaded_than_after(tmp_path):
    path = lightgbm_models.linear_text(tmp_path, 1, 0)

    kept = memory.trees_bytes("lightgbm", path, edges(path).format)
    assert estimate("lightgbm", tmp_path, path) > kept > FIXED_BYTES


def test_weights_beside_an_onnx_model_count(tmp_path):
    path = onnx_models.linear_onnx(tmp_path, 1, 0)
    (tmp_path / "weights.bin").write_bytes(bytes(MIB))

    assert memory.estimate("onnx", tmp_path, path) > 2 * MIB
    assert memory.session_bytes(path) > MIB


def test_skops_counts_what_is_in_the_zip(tmp_path):
    import numpy as np

    estimator = sklearn_models.linear(0.0, 0.0)
    estimator.coef_ = np.zeros(MIB)
    path = tmp_path / "model.skops"
    sklearn_models.dump_compressed(path, estimator)

    assert path.stat().st_size < MIB
    assert estimate("sklearn", tmp_path, path) > 8 * MIB


def test_compressed_joblib_is_estimated_to_need_more_memory_per_byte(tmp_path):
    plain = sklearn_models.linear_joblib(tmp_path, 1, 0, "a.joblib")
    packed = sklearn_models.linear_joblib(tmp_path, 1, 0, "b.joblib", compress=3)

    per_byte = [
        (estimate("sklearn", tmp_path, path) - FIXED_BYTES) / path.stat().st_size
        for path in (plain, packed)
    ]

    assert per_byte[1] > 3 * per_byte[0]


def test_script_counts_all_its_files(tmp_path):
    script_models.script(tmp_path, "")
    (tmp_path / "weights.bin").write_bytes(bytes(MIB))

    assert memory.estimate("script", tmp_path, None) == FIXED_BYTES + 2 * MIB


def test_text_model_counts_its_own_weights_but_no_other_precision(tmp_path):
    sizes = {"model.onnx": MIB, "model.onnx_data": 2 * MIB, "model_fp16.onnx": 64 * MIB}
    for name, size in sizes.items():
        (tmp_path / name).write_bytes(bytes(size))

    found = estimate("huggingface", tmp_path, tmp_path / "model.onnx")

    assert found == FIXED_BYTES + 6 * MIB


def test_saved_model_counts_the_framework_if_its_process_is_its_own(tmp_path):
    (tmp_path / "saved_model.pb").write_bytes(b"graph")

    own = estimate("tensorflow", tmp_path, tmp_path / "saved_model.pb")

    assert own - memory.estimate("saved_model", tmp_path, None) == 560 * MIB


def test_debris_costs_nothing(tmp_path):
    (tmp_path / "__MACOSX").mkdir()
    (tmp_path / "__MACOSX" / "big").write_bytes(bytes(1000))
    (tmp_path / "._big").write_bytes(bytes(1000))

    assert memory.folder_bytes(tmp_path) == 0


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 no zip"], ids=["empty", "broken"])
def test_skops_that_is_no_zip_is_invalid(tmp_path, content):
    path = tmp_path / "model.skops"
    path.write_bytes(content)

    with pytest.raises(ArtifactInvalidError, match=r"model\.skops is not a skops file"):
        estimate("sklearn", tmp_path, path)


LOADING = """
import gc, sys
from pathlib import Path

import psutil

from modelyard.runtimes import registry

def resident_bytes():
    gc.collect()
    return psutil.Process().memory_info().rss

plan = registry.plan_load(Path(sys.argv[1]), allow_code=False)
registry.load(plan).close()
before = resident_bytes()
models = [registry.load(plan) for _ in range(4)]
print(sum(model.memory_bytes for model in models), resident_bytes() - before)
while models:
    models.pop().close()
print(resident_bytes() - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only glibc keeps what was freed")
def test_process_takes_what_its_models_are_counted_with_and_gives_it_back(tmp_path):
    size_bytes = onnx_models.matrix(tmp_path, 2_896).stat().st_size

    command = [sys.executable, "-c", LOADING, str(tmp_path)]
    told = subprocess.run(command, capture_output=True, text=True, check=True).stdout

    counted, taken, left = map(int, told.split())
    assert 3 * size_bytes < taken < counted
    assert left < 8 * MIB
