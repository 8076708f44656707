"""The class of a Cortex project: found, checked, constructed and called as by Cortex v0.24."""
