"""The clients that the class of a Cortex API gets: they load its models by name and version."""
