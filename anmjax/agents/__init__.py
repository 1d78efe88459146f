"""Learners and baselines, and the protocol that compares them."""
