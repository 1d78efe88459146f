"""The DC power flow with its angles eliminated: everything linear in the devices' active power.

With B_ij = Im(Y_ij), voltages of 1 p.u. and no losses, a branch carries P_ij = B_ij (theta_i - theta_j).

Reference: Henry & Ernst, "Gym-ANM", Energy and AI 5 (2021), sec. 5.1 (the DC optimal power flow of its MPC
agents); gym-anm 2.0.1, agents/mpc.py.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from anmjax.grid.network import Network


@dataclass(frozen=True)
class DCModel:
    """Sensitivities to the active power of every device; the columns of the slack device are zero."""

    flow: np.ndarray  # (n_branch, n_device) p.u. per p.u., active flow from the from side
    angle: np.ndarray  # (n_bus, n_device) rad per p.u., voltage angle
    slack: np.ndarray  # (n_device,) p.u. per p.u., active power of the slack device
    flow_fixed: np.ndarray  # (n_branch,) p.u., active flow of what is injected by no device
    angle_fixed: np.ndarray  # (n_bus,) rad, voltage angle of it
    slack_fixed: float  # p.u., active power of the slack device for it


def dc_model(network: Network) -> DCModel:
    """Eliminates the angles from the DC power flow of a network.

    Args:
      network: the network; its numbers must be concrete.

    Raises:
      ValueError: the DC power flow has no solution: some bus is joined to the slack by no branch in service
        with a reactance. Or the network has several slacks.
    """
    net, n, slack_device = network, network.n_bus, network.slack_device
    y = np.asarray(net.in_service) / (np.asarray(net.r, float) + 1j * np.asarray(net.x, float))
    turns = np.asarray(net.tap) * np.exp(1j * np.asarray(net.shift))
    b_from, b_to = (-y / turns.conj()).imag, (-y / turns).imag
    start, end = np.array(net.from_bus, int), np.array(net.to_bus, int)
    branches = np.arange(net.n_branch)
    by_angle = np.zeros((net.n_branch, n))  # flow = by_angle @ theta
    by_angle[branches, start] += b_from
    by_angle[branches, end] -= b_from
    balance = np.zeros((n, n))  # injections = balance @ theta
    np.add.at(balance, (start, start), b_from)
    np.add.at(balance, (start, end), -b_from)
    np.add.at(balance, (end, end), b_to)
    np.add.at(balance, (end, start), -b_to)

    others = np.delete(np.arange(n), net.slack)
    reduced = balance[np.ix_(others, others)]
    if len(others) and np.linalg.matrix_rank(reduced) < len(others):
        raise ValueError(
            "the DC power flow of this network has no solution: every bus needs a path of branches in "
            "service, each with a reactance (BR_X > 0), to the slack"
        )
    to_bus = np.zeros((n, net.n_device))
    free = np.delete(np.arange(net.n_device), slack_device)
    to_bus[np.array(net.device_bus, int)[free], free] = 1
    angle = np.zeros((n, net.n_device))
    angle[others] = np.linalg.solve(reduced, to_bus[others])
    fixed = np.zeros(n)
    if net.p_fixed is not None:
        fixed[others] = np.linalg.solve(reduced, np.asarray(net.p_fixed, float)[others])
    return DCModel(
        flow=by_angle @ angle,
        angle=angle,
        slack=balance[net.slack] @ angle - to_bus[net.slack],
        flow_fixed=by_angle @ fixed,
        angle_fixed=fixed,
        slack_fixed=float(balance[net.slack] @ fixed),
    )
