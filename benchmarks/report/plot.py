"""Draw `results.json` as a chart: `plot.py RESULTS PICTURE`, in the environment `plot`.

It imports nothing of the benchmark, because only that environment has matplotlib.
"""

import json
import sys
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt

PANELS = (
    ("warm_xgboost_c1", "p50_ms", "Warm XGBoost, 1 client: p50, ms"),
    ("warm_xgboost_c8", "rps", "Warm XGBoost, 8 clients: requests/s (higher is better)"),
    ("many_500_c8", "rps", "500 models, memory for 50: requests/s (higher is better)"),
    ("cold_xgboost_on_disk", "total_ms", "First call of a small XGBoost model: ms"),
    ("memory_xgboost", "per_model_mb", "Memory of each further small model: MB"),
    ("start_xgboost", "first_answer_ms", "Start to first answer: ms"),
)
OURS, OTHERS, BARE = "#d9480f", "#74818f", "#c3cad1"
COLUMNS = 2


def draw(rows: list[dict[str, Any]], picture: Path) -> None:
    """Draw a panel for each work that was measured."""
    panels = [(title, _bars(rows, work, metric)) for work, metric, title in PANELS]
    panels = [(title, bars) for title, bars in panels if bars] or [("nothing was measured", [])]
    lines = -(-len(panels) // COLUMNS)
    figure, axes = plt.subplots(lines, COLUMNS, figsize=(12, 3.1 * lines), squeeze=False)
    for axis in axes.flat[len(panels) :]:
        axis.set_visible(False)
    for axis, (title, bars) in zip(axes.flat, panels, strict=False):
        _draw_panel(axis, title, bars)
    figure.tight_layout()
    figure.savefig(picture, dpi=110)


def _bars(rows: list[dict[str, Any]], work: str, metric: str) -> list[dict[str, Any]]:
    found = [row for row in rows if (row["work"], row["metric"]) == (work, metric)]
    return sorted(found, key=lambda row: row["median"], reverse=not metric.endswith("rps"))


def _draw_panel(axis: Any, title: str, bars: list[dict[str, Any]]) -> None:
    names = [bar["system"].replace("_", " ") for bar in bars]
    medians = [bar["median"] for bar in bars]
    spread = [
        [bar["median"] - bar["min"] for bar in bars],
        [bar["max"] - bar["median"] for bar in bars],
    ]
    colors = [{"modelyard": OURS, "loop": BARE}.get(bar["system"], OTHERS) for bar in bars]
    axis.barh(names, medians, color=colors, xerr=spread, ecolor="#495057", capsize=2)
    if medians and max(medians) > 20 * max(min(medians), 1e-9):
        axis.set_xscale("log")
    for place, value in enumerate(medians):
        axis.annotate(f" {value:,.4g}", (value, place), va="bottom", fontsize=8)
    axis.set_title(title, fontsize=10, loc="left")
    axis.spines[["top", "right"]].set_visible(False)
    axis.margins(x=0.15)


if __name__ == "__main__":
    draw(json.loads(Path(sys.argv[1]).read_text())["rows"], Path(sys.argv[2]))
