"""Guests: models that bring code or may never end, each in a process of its own.

`guest_loading` decides which model is a guest and loads it, `guest_predictor` is the loaded model
as residence and service see it. `nursery` is the process from which guests are forked, and
`guest` is what runs in a guest.
"""
