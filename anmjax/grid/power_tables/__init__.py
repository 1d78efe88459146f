"""MATPOWER's bus, gen and branch tables, from whatever program, checked and made into a network."""
