"""`make fleet`: run every scenario of the simulation, write the results as JSON and tables."""

import argparse
import sys
import time
from itertools import groupby
from pathlib import Path

from benchmarks.fleet.costs import usd_per_million
from benchmarks.fleet.report import Result, render_json, render_table
from benchmarks.fleet.scenarios import Scenario, all_scenarios, quick_scenarios
from benchmarks.fleet.simulation import Simulation
from modelyard.aws.cost.price_list import Prices, load_prices

RESULTS = Path(__file__).parents[1] / "results" / "fleet.json"


def measured(scenario: Scenario, prices: Prices, seed: int) -> Result:
    """Return the result of one scenario."""
    outcome = Simulation(scenario.workload, scenario.policy, scenario.platform, seed).run()
    usd = usd_per_million(outcome, scenario.policy, scenario.platform, prices)
    return Result(scenario, outcome, usd)


def main() -> None:
    """Simulate, print the tables, write the results."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.fleet", description=__doc__)
    parser.add_argument(
        "--quick", action="store_true", help="run only a few scenarios, in less than a minute"
    )
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--output", type=Path, default=RESULTS)
    options = parser.parse_args()
    prices = load_prices("us-east-1")
    scenarios = list(quick_scenarios() if options.quick else all_scenarios())
    started_at = time.monotonic()
    results = []
    for number, scenario in enumerate(scenarios, 1):
        results.append(measured(scenario, prices, options.seed))
        if number % 10 == 0:
            print(f"{number} of {len(scenarios)} scenarios", file=sys.stderr, flush=True)
    for table, rows in groupby(results, key=lambda result: result.scenario.table):
        print(f"\n## {table}\n\n{render_table(rows)}")
    if not options.quick:
        options.output.parent.mkdir(exist_ok=True)
        options.output.write_text(render_json(results, options.seed))
    print(f"\n{len(results)} scenarios, {time.monotonic() - started_at:.0f} s", file=sys.stderr)


if __name__ == "__main__":
    main()
