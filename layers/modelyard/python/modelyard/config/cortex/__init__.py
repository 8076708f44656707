"""Read Cortex APIs (`kind: RealtimeAPI`) of a config file into ApiProjects."""
