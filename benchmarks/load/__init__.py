"""The load generator, the same for every system."""
