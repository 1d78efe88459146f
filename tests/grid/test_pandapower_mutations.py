"""Damaged pandapower nets: a fault with its name, or the numbers that pandapower itself solves."""

from __future__ import annotations

import copy
import functools
import random
import warnings

import numpy as np
import pytest

from anmjax.grid import Network, NetworkError
from tests.grid.pandapower_nets import ELEMENTS, small_net, solve, voltages
from tests.grid.power_balance import admittance, assert_solves

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # pandapower's own notices on import
    import pandapower as pp
    from pandapower.networks import example_multivoltage

SOUND_NETS = 16
VALUES = [
    *(np.nan, np.inf, -np.inf, 0.0, -1.0, 1e-300, 1e300, 1e12, -1e12, 5e-324, 0.5, 3, 1),
    *("", "nan", "1.0", "high", None, True, False, [1, 2], 1j, 10**30, random.Random),
]
TABLES = [
    *("bus", "line", "trafo", "trafo3w", "impedance", "switch", "load", "asymmetric_load", "motor", "sgen"),
    *("asymmetric_sgen", "storage", "gen", "ext_grid", "shunt", "ward", "xward", "dcline", "controller"),
]


def spoil_a_cell(net, draw, table):
    column = draw.choice(list(net[table]))
    value = draw.choice(VALUES)
    values = net[table][column].astype(object).to_numpy(copy=True)
    values[draw.randrange(len(values))] = value
    changed = net[table].copy()
    # The column keeps its type where the value fits, as it does in an assignment.
    number = isinstance(value, float) and isinstance(net[table][column].dtype, np.dtype)
    number &= net[table][column].dtype.kind in "fiu"
    changed[column] = values.astype(float) if number else values
    net[table] = changed


def spoil_a_column(net, draw, table):
    column = draw.choice(list(net[table]))
    net[table] = net[table].drop(columns=column)


def spoil_a_type(net, draw, table):
    column = draw.choice(list(net[table]))
    kind = draw.choice([str, object, "float32", "Int64", "string", "category", "complex128"])
    try:
        net[table] = net[table].astype({column: kind})
    except (TypeError, ValueError):
        net[table] = net[table].astype({column: object})


def spoil_an_index(net, draw, table):
    index = list(net[table].index)
    index[draw.randrange(len(index))] = draw.choice([0, 1, 3, -1, 2.5, "x", None, 10**9, np.nan, index[-1]])
    changed = net[table].copy()
    changed.index = index
    net[table] = changed


def lose_rows(net, draw, table):
    net[table] = net[table].iloc[: draw.randrange(len(net[table]))]


def lose_a_table(net, draw, table):
    net[table] = draw.choice([None, {}, net[table].iloc[:0], net[table].iloc[:, :0], [], "table"])


def take_a_table_out(net, draw, table):
    del net[table]


def spoil_the_net(net, draw, table):
    name = draw.choice(["sn_mva", "f_hz", "user_pf_options", "_ppc", "std_types", "name"])
    net[name] = draw.choice(VALUES)


def swap_buses(net, draw, table):
    columns = [column for column in net[table] if str(column).endswith("bus")] or ["name"]
    net[table][draw.choice(columns)] = draw.choice([3, 5, 7, 12, 99])


MUTATIONS = [spoil_a_cell] * 12 + [spoil_a_column, spoil_a_type, spoil_an_index, lose_rows] * 2
MUTATIONS += [lose_a_table, take_a_table_out, spoil_the_net, swap_buses]


@functools.cache
def sound_net(number: int) -> pp.pandapowerNet:
    """An example of pandapower's, or a small net with up to four more elements that go together."""
    if number == 0:
        return example_multivoltage()
    draw = random.Random(number)
    net = small_net()
    for change in draw.sample(ELEMENTS, 4):
        before = copy.deepcopy(net)
        try:
            change(net)
            Network.from_pandapower(net)
        except (NetworkError, UserWarning, ValueError):
            net = before
    return net


def mutant(seed: int) -> pp.pandapowerNet:
    """A net with one to three things wrong with it."""
    draw = random.Random(seed)
    net = copy.deepcopy(sound_net(seed % SOUND_NETS))
    for _ in range(draw.choice([1, 1, 1, 2, 3])):
        there = [name for name in TABLES if hasattr(net.get(name), "columns")]
        table = draw.choice([name for name in there if len(net[name]) and len(net[name].columns)])
        draw.choice(MUTATIONS)(net, draw, table)
    return net


def assert_sound(seed: int) -> str:
    """Asserts that a mutant is refused with its faults, or imported as pandapower solves it.

    Returns:
      "refused", "equal", or "unsolved" by pandapower.
    """
    net = mutant(seed)
    try:
        network = Network.from_pandapower(net)
    except NetworkError:
        return "refused"
    leaves = [network.r, network.x, network.p, network.q, network.v_set, network.g_shunt, network.b_shunt]
    assert all(np.isfinite(leaf).all() for leaf in leaves)
    if len(network.slacks) == network.n_bus:
        return "unsolved"  # pandapower then leaves out the angles of external grids
    try:
        solve(net)
        v = voltages(net, network)
    except Exception:  # whatever pandapower has to say of it
        return "unsolved"
    # Rounding of the currents that meet at a bus, by far the largest term of a spoiled net's balance.
    rounding = 1e-12 * np.abs(v) * (np.abs(admittance(network)) @ np.abs(v))
    assert_solves(network, v, 1e-8 + rounding)
    return "equal"


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # of simplifications, isolated buses, and pandapower's of all kinds
def test_a_damaged_net_is_refused_by_name_or_read_as_pandapower_does():
    outcomes = [assert_sound(seed) for seed in range(160)]
    assert min(outcomes.count("refused"), outcomes.count("equal")) > 30


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("block", range(16))
def test_thousands_of_damaged_nets_are_refused_by_name_or_read_as_pandapower_does(block):
    outcomes = [assert_sound(1000 + 250 * block + k) for k in range(250)]
    assert min(outcomes.count("refused"), outcomes.count("equal")) > 25
