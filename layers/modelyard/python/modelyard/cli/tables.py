"""Tables, trees and the progress bar of the command line."""

import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.box import SIMPLE_HEAD
from rich.markup import escape
from rich.table import Table

from modelyard.cli.console import err, out, print_problem, print_warning
from modelyard.domain.units import render_size

if TYPE_CHECKING:  # what one command prints, the others need not import
    from rich.columns import Columns
    from rich.tree import Tree

    from modelyard.aws.cost.comparison import Comparison
    from modelyard.cli.model_check import ModelReport
    from modelyard.clients.management import ListedModel
    from modelyard.cortex.layout_check import Findings
    from modelyard.cortex.project import ApiProject

_STATUSES = {
    "LOADED": "[green]loaded",
    "LOADING": "[yellow]loading",
    "LOADING_FAILED": "[red]failed",
    "STAGED": "[cyan]staged",
    "NOT_LOADED": "[dim]not loaded",
}
_SHOWN_PROBLEMS = 20
_WIDTH_WITH_VERSIONS = 100
"""On narrower terminals, the names of the models need the place."""


def print_models(endpoint_name: str, models: Sequence["ListedModel"]) -> None:
    """Print a table of the models of an endpoint, and below it their errors and warnings."""
    if not models:
        out().print(f"The endpoint {escape(endpoint_name)} has no models.", soft_wrap=True)
        return
    out().print(_models_table(endpoint_name, models))
    for model in models:
        if model.detail:
            _print_line(f"{model.name}: {' '.join(model.detail.split())}")


def _print_line(text: str) -> None:
    """Print one line: on a terminal as much as fits, elsewhere all of it."""
    if out().is_terminal:
        out().print(text, markup=False, no_wrap=True, overflow="ellipsis")
    else:
        out().print(text, markup=False, soft_wrap=True)


def _models_table(endpoint_name: str, models: Iterable["ListedModel"]) -> Table:
    table = Table(title=escape(endpoint_name), title_justify="left", box=SIMPLE_HEAD)
    table.add_column("model", overflow="fold")
    has_versions = out().width >= _WIDTH_WITH_VERSIONS
    if has_versions:
        table.add_column("version", overflow="ellipsis", no_wrap=True)
    table.add_column("status", no_wrap=True)
    for heading in ("memory", "disk", "last used"):
        table.add_column(heading, justify="right", no_wrap=True)
    for model in models:
        table.add_row(
            escape(model.name),
            *((escape(model.version),) if has_versions else ()),
            _STATUSES.get(model.status, escape(model.status)),
            render_size(model.memory_bytes) if model.memory_bytes else "",
            render_size(model.disk_bytes) if model.disk_bytes else "",
            _ago(model.last_used_at),
        )
    return table


@contextmanager
def progress(label: str, total: int) -> Iterator[Callable[[], None]]:
    """Show a progress bar on standard error; yield a function that advances it by one."""
    if not sys.stderr.isatty():
        yield lambda: None
        return
    from rich.progress import Progress

    with Progress(console=err(), transient=True) as bar:
        task = bar.add_task(label, total=total)
        yield lambda: bar.advance(task)


@contextmanager
def bytes_progress(label: str, total_bytes: int) -> Iterator[Callable[[int], None]]:
    """Show a progress bar on standard error; yield a function that advances it by bytes."""
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    from rich.progress import DownloadColumn, Progress, TransferSpeedColumn

    columns = (*Progress.get_default_columns(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, console=err(), transient=True) as bar:
        task = bar.add_task(label, total=total_bytes)
        yield lambda count: bar.advance(task, count)


def print_comparison(comparison: "Comparison") -> None:
    """Print the cost of a workload, item by item, and the cost of the same on SageMaker."""
    table = Table(title="Cost per month", title_justify="left")
    table.add_column("Modelyard", no_wrap=True)
    table.add_column("USD", justify="right")
    for line in comparison.modelyard.lines:
        table.add_row(line.what, f"{line.usd:,.2f}")
    table.add_section()
    table.add_row("total", f"{comparison.modelyard.usd:,.2f}", style="bold")
    out().print(table)
    out().print(_alternatives_table(comparison))
    out().print(
        f"Prices of {comparison.region} as of {comparison.prices_as_of}, without free tiers.",
        soft_wrap=True,
    )
    if comparison.warning is not None:
        print_warning(comparison.warning)


def _alternatives_table(comparison: "Comparison") -> Table:
    table = Table()
    table.add_column("alternative", no_wrap=True)
    table.add_column("USD", justify="right", no_wrap=True)
    table.add_column("break-even", justify="right", no_wrap=True)
    for item in (*comparison.multi_model, *comparison.servers):
        requests = "never" if item.break_even is None else f"{item.break_even:,} requests"
        table.add_row(item.bill.name, f"{item.bill.usd:,.2f}", requests)
    if comparison.serverless is not None:
        table.add_row(comparison.serverless.name, f"{comparison.serverless.usd:,.2f}", "")
    return table


def print_reports(reports: "Mapping[str, Sequence[ModelReport]]") -> None:
    """Print the models of each endpoint; if some are faulty, also the expected and actual tree."""
    for endpoint_name, found in reports.items():
        if not found:
            out().print(f"The endpoint {escape(endpoint_name)} has no models.", soft_wrap=True)
            continue
        out().print(_reports_table(endpoint_name, found))
        if any(report.problems for report in found):
            out().print(_expected_and_actual(endpoint_name, found))


def print_findings(findings: "Iterable[tuple[ApiProject, Findings]]") -> None:
    """Print the problems and warnings of each Cortex API."""
    for project, found in findings:
        for warning in found.warnings:
            print_warning(f"{project.label}: {warning}")
        for problem in found.problems:
            print_problem(f"{project.label}: {problem}")
        if not found.problems:
            out().print(f"{escape(project.label)}: [green]ok", soft_wrap=True)


def _reports_table(endpoint_name: str, reports: "Sequence[ModelReport]") -> Table:
    table = Table(title=escape(endpoint_name), title_justify="left")
    table.add_column("model", no_wrap=True)
    table.add_column("kind")
    table.add_column("size", justify="right")
    table.add_column("result")
    for report in reports:
        result = f"[red]{escape('; '.join(report.problems))}" if report.problems else "[green]ok"
        table.add_row(
            escape(report.target_model), report.kind, render_size(report.size_bytes), result
        )
    return table


def _expected_and_actual(endpoint_name: str, reports: "Sequence[ModelReport]") -> "Columns":
    from rich.columns import Columns

    return Columns([_expected_tree(), _actual_tree(endpoint_name, reports)], padding=(1, 4))


def _expected_tree() -> "Tree":
    from rich.tree import Tree

    tree = Tree("[bold]expected[/] models/")
    tree.add("Houston_TX.tar.gz   [dim]an archive with one model at its root, or")
    tree.add("store-0001.onnx     [dim]one file, or")
    folder = tree.add("churn/              [dim]a folder with exactly one of")
    folder.add("model.onnx, model.json, model.ubj, model.skops")
    folder.add("xgboost-model")
    folder.add("1/model.onnx        [dim]numbered versions")
    folder.add("model.joblib, model.pkl, code/inference.py   [dim]with allow_code: true")
    return tree


def _actual_tree(endpoint_name: str, reports: "Sequence[ModelReport]") -> "Tree":
    from rich.tree import Tree

    tree = Tree(f"[bold]actual[/] {escape(endpoint_name)}")
    faulty = [report for report in reports if report.problems]
    for report in faulty[:_SHOWN_PROBLEMS]:
        mark = f"[red]✗ {escape(report.problems[0].partition(';')[0])}"
        branch = tree.add(f"{escape(report.target_model)}{'/' if report.files else ''}   {mark}")
        for name in report.files:
            branch.add(escape(name))
    omitted = len(reports) - min(len(faulty), _SHOWN_PROBLEMS)
    if omitted:
        tree.add(f"[dim]... and {omitted} more")
    return tree


def _ago(moment: float | None) -> str:
    if moment is None:
        return ""
    seconds = max(0, int(time.time() - moment))
    for unit, length in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds >= length:
            return f"{seconds // length}{unit} ago"
    return f"{seconds}s ago"
