"""The linear solver: a plan of the topology, and the elimination level by level or in loops."""
