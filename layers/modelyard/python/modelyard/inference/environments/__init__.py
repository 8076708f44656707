"""Virtual environments for Cortex projects and models that need packages the server does not have.

`environments` makes them, `model_environments` decides which model needs one.
"""
