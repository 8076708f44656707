"""Modelyard beside its peers: one machine, one run, the same models and the same requests.

`python -m benchmarks` runs everything. Read in this order:

- `__main__` - what can be asked for
- `session` - whose turn it is: works, rounds, systems
- `works` - what is measured, a module for each kind of work
- `peers` - how each system is started and called; `peers/apps` runs inside their environments
- `load` - the load generator
- `results`, `report` - medians, ratios, the table and the plot
"""
