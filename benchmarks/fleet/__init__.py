"""A fleet of Lambda execution environments, simulated: what routing does to hits, waits and cost.

Read in this order: `simulation` (the way of a request), `fleet` (environments come and go),
`storage` (artifacts on EFS and in S3), `scenarios` (what is asked), `report` (the tables).
What is real in it: the rendezvous order, the model cache, and the numbers of the deployment.
"""
