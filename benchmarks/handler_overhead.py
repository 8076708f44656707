"""`python -m benchmarks.handler_overhead`: compare the inference handler with a predict call.

Four calls are measured in turns, all in this process: the handler from event to answer, as the
Lambda runtime calls it; XGBoost's `inplace_predict`; `inplace_predict` with a CSV row parsed and
an answer written, as a hand-written script does it; and `Booster.predict_rows`, which the handler
uses to call the same library without XGBoost's Python package.
"""

import argparse
import cProfile
import json
import pstats
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import xgboost

from benchmarks.turns import measured, report
from modelyard.aws.function_settings import InferenceSettings
from modelyard.aws.inference import handler_of
from modelyard.aws.lambda_payload import members_of
from modelyard.domain.endpoints import Endpoint
from modelyard.domain.envelope import render_request
from modelyard.domain.requests import Invoke
from modelyard.domain.values import Payload, TargetModel
from modelyard.runtimes.xgboost.library import Booster

TREES, DEPTH, FEATURES = 100, 6, 10
ROW = b"0.1,0.2,0.3,0.4,0.5,0.6,0.7,0.8,0.9,1.0\n"


class Context:
    """The context that Lambda passes to a handler."""

    def get_remaining_time_in_millis(self) -> int:
        return 60_000


def main() -> None:
    """Measure in turns and print the medians."""
    parser = argparse.ArgumentParser("python -m benchmarks.handler_overhead", description=__doc__)
    parser.add_argument("--rounds", type=int, default=40, help="number of turns")
    parser.add_argument("--calls", type=int, default=100, help="number of calls per turn")
    parser.add_argument(
        "--profile", action="store_true", help="print a profile of the handler instead"
    )
    told = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="modelyard-") as folder:
        booster = _model(Path(folder))
        predict, text, own = _predict(booster), _predict_text(booster), _own_predict(booster)
        handle = _handler(Path(folder))
        assert json.loads(handle()["body"].split(",")[0]) == float(text().split(",")[0])
        if told.profile:
            _profile(handle, told.calls * told.rounds)
            return
        works = {
            "the handler's predict call": own,
            "`inplace_predict`": predict,
            "`inplace_predict`, CSV in and out": text,
            "handler": handle,
        }
        print(f"XGBoost, {TREES} trees of depth {DEPTH}, one row of {FEATURES} features\n")
        report(measured(works, told.rounds, told.calls))


def _model(folder: Path) -> xgboost.Booster:
    rows = np.random.default_rng(1).normal(size=(2000, FEATURES)).astype(np.float32)
    data = xgboost.DMatrix(rows, label=rows @ np.arange(FEATURES) + np.sin(rows[:, 0] * 9))
    booster = xgboost.train({"max_depth": DEPTH, "nthread": 1}, data, TREES)
    booster.save_model(folder / "model.ubj")
    loaded = xgboost.Booster({"nthread": 1})
    loaded.load_model(folder / "model.ubj")
    return loaded


def _own_predict(booster: xgboost.Booster) -> Callable[[], Any]:
    row, own = _row(), Booster(bytes(booster.save_raw("ubj")))
    return lambda: own.predict_rows(row)


def _row() -> np.ndarray[Any, np.dtype[np.float32]]:
    return np.array([[float(item) for item in ROW.split(b",")]], dtype=np.float32)


def _predict(booster: xgboost.Booster) -> Callable[[], Any]:
    row = _row()
    return lambda: booster.inplace_predict(row)


def _predict_text(booster: xgboost.Booster) -> Callable[[], str]:
    def answer() -> str:
        return ",".join(str(value) for value in booster.inplace_predict(_row()).tolist())

    return answer


def _handler(folder: Path) -> Callable[[], dict[str, Any]]:
    settings = InferenceSettings(str(folder / "cache"), 1 << 30, 1 << 30)
    handler, context = handler_of(settings.to_environ()), Context()
    source = Endpoint("models", folder.as_uri(), revalidate_s=3600.0).source(
        TargetModel("model.ubj")
    )
    payload = Payload(ROW, content_type="text/csv", accept="text/csv")
    request = Invoke(source, payload, window_s=25.0, patience_s=25.0, request_id="benchmark")
    event = members_of(render_request(request))
    return lambda: handler(event, context)


def _profile(work: Callable[[], Any], calls: int) -> None:
    work()
    profile = cProfile.Profile()
    profile.enable()
    for _ in range(calls):
        work()
    profile.disable()
    pstats.Stats(profile).sort_stats("tottime").print_stats(30)


if __name__ == "__main__":
    main()
