"""`python -m benchmarks.report.pages`: write the tables of README and `docs/performance.md` from
`benchmarks/results/results.json`.

A test checks that the pages are equal to the results.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.report.markdown import number

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "benchmarks" / "results" / "results.json"
PAGES = {
    "README.md": ("summary",),
    "docs/performance.md": ("machine", "summary", "goals", "processor", "cold"),
}

Rows = Mapping[tuple[str, str, str], float]
"""The medians by work, metric and system."""

SUMMARY = (
    ("p50, 1 client, ms", "warm_xgboost_c1", "p50_ms"),
    ("requests/s, 8 clients", "warm_xgboost_c8", "rps"),
    ("requests/s, 64 clients", "warm_xgboost_c64", "rps"),
    ("500 models, room for 50: requests/s", "many_500_c8", "rps"),
    ("first call of a model on disk, ms", "cold_xgboost_on_disk", "total_ms"),
    ("memory per further model, MB", "memory_xgboost", "per_model_mb"),
    ("start to first answer, ms", "start_xgboost", "first_answer_ms"),
)


CLIENTS = ("c1", "c8", "c64")
COLD = {
    "small XGBoost, on disk": "cold_xgboost_on_disk",
    "small XGBoost, from the repository's folder": "cold_xgboost_from_folder",
    "small XGBoost, from a tar.gz": "cold_xgboost_from_tar_gz",
    "XGBoost in JSON, on disk": "cold_xgboost_json_second_load",
    "100 MB ONNX, on disk": "cold_onnx_100mb_on_disk",
    "100 MB ONNX, from the folder": "cold_onnx_100mb_from_folder",
    "1 GB ONNX, from the folder": "cold_onnx_1gb_from_folder",
}
STAGES = ("stage_ms", "load_ms", "predict_ms", "total_ms")


@dataclass(frozen=True, slots=True)
class Goal:
    """A wanted figure: a ratio to another figure of the same run, or an absolute value."""

    what: str
    work: str
    metric: str
    wanted: float
    than: tuple[str, str, str] | None = None
    """Work, metric and system of the figure that it is divided by."""
    is_least: bool = False

    def line(self, rows: Rows) -> str | None:
        """Return the line of the table; None when it was not measured."""
        found = rows.get((self.work, self.metric, "modelyard"))
        base = 1.0 if self.than is None else rows.get(self.than)
        if found is None or not base:
            return None
        share = found / base
        is_reached = share >= self.wanted if self.is_least else share <= self.wanted
        sign, unit = ("≥" if self.is_least else "≤"), ("" if self.than is None else "x")
        told = f"{number(share)}{unit}"
        return f"| {self.what} | {sign} {self.wanted:g}{unit} | {_bold(told, is_reached)} |"


def _against(what: str, work: str, metric: str, wanted: float, *, least: bool = False) -> Goal:
    return Goal(what, work, metric, wanted, (work, metric, "fastapi"), least)


def _two(what: str, work: str, wanted: float) -> Goal:
    return Goal(what, work, "rps", wanted, (work, "rps", "fastapi_2_workers"), True)


GOALS = (
    _against("XGBoost, 1 client, p50: to FastAPI", "warm_xgboost_c1", "p50_ms", 0.75),
    _against("XGBoost, 8 clients, requests/s", "warm_xgboost_c8", "rps", 2.0, least=True),
    _against("XGBoost, 64 clients, requests/s", "warm_xgboost_c64", "rps", 2.0, least=True),
    _two("the same, 8 clients: to FastAPI with two workers", "warm_xgboost_c8", 1.2),
    _two("the same, 64 clients: to FastAPI with two workers", "warm_xgboost_c64", 1.2),
    Goal(
        "small ONNX, 8 clients, requests/s: to FastAPI's of XGBoost",
        "warm_onnx_c8",
        "rps",
        5.0,
        ("warm_xgboost_c8", "rps", "fastapi"),
        True,
    ),
    Goal("XGBoost, 8 clients: p99 / p50", "warm_xgboost_c8", "p99_over_p50", 3.0),
    Goal("longest stall in 60 s, ms", "stall_xgboost_c8", "longest_ms", 15.0),
    _against("first call of a small XGBoost on disk", "cold_xgboost_on_disk", "total_ms", 1.0),
    Goal("the same from a tar.gz, ms", "cold_xgboost_from_tar_gz", "total_ms", 10.0),
    Goal(
        "second load of XGBoost JSON: to UBJSON's",
        "cold_xgboost_json_second_load",
        "load_ms",
        1.5,
        ("cold_xgboost_on_disk", "load_ms", "modelyard"),
    ),
    Goal(
        "first call of 100 MB ONNX: to onnxruntime alone",
        "cold_onnx_100mb_from_folder",
        "total_ms",
        1.15,
        ("cold_onnx_100mb_on_disk", "total_ms", "loop"),
    ),
    Goal(
        "p99 while 1 GB loads: to undisturbed",
        "disturbance_by_1gb_load",
        "p99_ratio",
        2.0,
    ),
    _against("500 models, 8 clients, requests/s", "many_500_c8", "rps", 1.4, least=True),
    _against("500 models, 16 clients, requests/s", "many_500_c16", "rps", 1.4, least=True),
    _two("500 models, 8 clients: to FastAPI with two workers", "many_500_c8", 1.0),
    _against("memory per further model", "memory_xgboost", "per_model_mb", 1.2),
    Goal("a worker with one model, MB", "memory_xgboost", "largest_process_rss_mb", 110.0),
    _against("start to first answer", "start_xgboost", "first_answer_ms", 1.0),
    Goal("router on Lambda: import to ready, ms", "lambda_router_init", "wall_ms", 400.0),
    Goal("its processor time per request, us", "lambda_router_call", "cpu_us", 150.0),
    Goal(
        "inference on Lambda: import to ready, ms",
        "lambda_inference_xgboost_init",
        "wall_ms",
        450.0,
    ),
    Goal(
        "its handler beyond the predict call, us",
        "lambda_inference_call",
        "beyond_predict_us",
        100.0,
    ),
)


def medians(results: Mapping[str, Any]) -> Rows:
    """Return the medians of a run."""
    return {(row["work"], row["metric"], row["system"]): row["median"] for row in results["rows"]}


def blocks(results: Mapping[str, Any]) -> dict[str, str]:
    """Return the generated parts of the pages by their names."""
    rows = medians(results)
    return {
        "machine": _machine(results),
        "summary": "\n".join(_summary(rows)),
        "goals": "\n".join(_goals(rows)),
        "processor": "\n".join(_processor(rows)),
        "cold": "\n".join(_cold(rows)),
    }


def rendered(text: str, names: Sequence[str], parts: Mapping[str, str]) -> str:
    """Return a page with its generated parts replaced, each between two comments."""
    for name in names:
        pattern = re.compile(f"(<!-- {name} of results.json -->\n).*?(<!-- end -->)", re.DOTALL)
        told = f"{parts[name]}\n"
        text, count = pattern.subn(lambda found, told=told: found[1] + told + found[2], text)
        assert count == 1, f"the page has no place for {name}"
    return text


def _machine(results: Mapping[str, Any]) -> str:
    machine, own = results["machine"], results["versions"]["modelyard"]
    return (
        f"{machine['processor']}, {machine['cores']} cores, {machine['memory_gib']} GiB,"
        f" {machine['system']}, Python {machine['python']}, XGBoost {own['xgboost-cpu']},"
        f" ONNX Runtime {own['onnxruntime']}. Medians of interleaved rounds."
    )


def _summary(rows: Rows) -> Iterator[str]:
    yield f"| system | {' | '.join(title for title, *_ in SUMMARY)} |"
    yield f"|---|{'---:|' * len(SUMMARY)}"
    for system in _systems(rows):
        yield from _line(system, [rows.get((*column, system)) for _, *column in SUMMARY])


def _goals(rows: Rows) -> Iterator[str]:
    yield "| figure | wanted | measured |"
    yield "|---|---|---|"
    yield from filter(None, (goal.line(rows) for goal in GOALS))


def _processor(rows: Rows) -> Iterator[str]:
    yield "| system | 1 client | 8 clients | 64 clients |"
    yield "|---|---:|---:|---:|"
    for system in _systems(rows):
        cells = [rows.get((f"warm_xgboost_{one}", "server_cpu_us", system)) for one in CLIENTS]
        yield from _line(system, cells)


def _cold(rows: Rows) -> Iterator[str]:
    yield "| model | read by `cat` | stage | load | predict | whole call | hand-written FastAPI |"
    yield "|---|---:|---:|---:|---:|---:|---:|"
    for title, work in COLD.items():
        cells = [rows.get((work, "disk_read_ms", "loop"))]
        cells += [rows.get((work, stage, "modelyard")) for stage in STAGES]
        yield from _line(title, [*cells, rows.get((work, "total_ms", "fastapi"))])


def _line(title: str, cells: Sequence[float | None]) -> Iterator[str]:
    if any(cell is not None for cell in cells):
        name = _bold(title.replace("_", " "), title == "modelyard")
        told = ["" if cell is None else number(cell) for cell in cells]
        yield f"| {name} | {' | '.join(told)} |"


def _systems(rows: Rows) -> list[str]:
    systems = dict.fromkeys(system for *_, system in rows if system != "loop")
    return sorted(systems, key=lambda one: one != "modelyard")


def _bold(text: str, is_bold: bool) -> str:
    return f"**{text}**" if is_bold else text


def main() -> None:
    """Write the pages."""
    parts = blocks(json.loads(RESULTS.read_text()))
    for page, names in PAGES.items():
        path = ROOT / page
        path.write_text(rendered(path.read_text(), names, parts))


if __name__ == "__main__":
    main()
