"""Runtimes: `registry` finds out what a folder holds and loads it with the one module it needs."""
