"""Planners see injections that are of no device: the DC model of a case is one, whoever injects."""

from __future__ import annotations

import numpy as np

from anmjax.agents.mpc import dc_model
from anmjax.grid import Network
from anmjax.grid.phase_shifts import without_level_shifts
from tests.grid.pandapower_nets import small_net


def test_flows_are_the_same_whether_injections_are_of_devices_or_fixed():
    # As a task has it: the DC model of a phase shift of 150 degrees is none.
    own, fixed = (
        without_level_shifts(Network.from_pandapower(small_net(), devices=devices))
        for devices in (True, False)
    )
    of_devices, of_case = dc_model(own), dc_model(fixed)
    assert own.p_fixed is None
    # A few roundings of sensitivities of order 1.
    np.testing.assert_allclose(of_devices.flow @ own.p_device, of_case.flow_fixed, atol=1e-12)
    np.testing.assert_allclose(of_devices.angle @ own.p_device, of_case.angle_fixed, atol=1e-12)
    np.testing.assert_allclose(of_devices.slack @ own.p_device, of_case.slack_fixed, atol=1e-12)
    # Without losses the slack gives what is drawn: 3 MW at a scaling of 0.9, less 1 MW, on 2 MVA.
    np.testing.assert_allclose(of_case.slack_fixed, 1.7 / 2, atol=1e-12)
