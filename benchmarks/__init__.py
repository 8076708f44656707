"""Compare Modelyard with other servers ("peers"): same machine, models and requests, one run.

`python -m benchmarks` runs everything. Read in this order:

- `__main__` - the command line
- `session` - the order of works, rounds and systems
- `works` - what is measured, one module per kind of measurement
- `peers` - how each system is started and called; `peers/apps` runs inside their environments
- `load` - the load generator
- `results`, `report` - medians, ratios, the table and the plot
"""
