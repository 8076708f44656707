"""Cortex projects (`kind: RealtimeAPI`): the config as users wrote it, made into an ApiProject."""
