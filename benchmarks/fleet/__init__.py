"""Simulate a fleet of Lambda environments: how routing affects hits, waiting times and cost.

Read in this order: `simulation` (the steps of a request), `fleet` (start and end of environments),
`storage` (artifacts on EFS and in S3), `scenarios` (workloads and policies), `report` (the tables).
The rendezvous order, the model cache and the numbers of the deployment are the real ones.
"""
