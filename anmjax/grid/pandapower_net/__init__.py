"""pandapower nets, read through pandapower's own conversion to MATPOWER's tables."""
