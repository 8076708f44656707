"""What the class of a Cortex API is handed: its models, by name and version."""
