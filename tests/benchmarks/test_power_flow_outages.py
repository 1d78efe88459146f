"""The benchmark of single outages, with its peer and by itself."""

from __future__ import annotations

import argparse

import jax
import numpy as np
import pytest
from jax.sharding import Mesh

from benchmarks.power_flow import outages


@pytest.mark.parametrize("no_peers", [True, False])
def test_every_outage_has_a_row_of_ours_and_of_the_peer_if_there_is_one(no_peers):
    options = argparse.Namespace(dtype="float64", tol=1e-6, seconds=0.01, repeats=1, no_peers=no_peers)
    mesh = Mesh(np.array(jax.devices()[:1]), ("lanes",))
    ours, *theirs = outages.measure("case6ww", mesh, options)
    assert ours["batch"] == ours["n_branch"] == 11
    assert ours["converged"] == 1  # no single outage of this network cuts off a bus
    assert ours["max_mismatch_pu"] < 1e-6
    assert [row["solver"] for row in theirs] == ([] if no_peers else [outages.PEER])
