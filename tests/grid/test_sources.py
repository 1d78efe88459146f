"""Which buses an imported grid is fed from, lines of direct current, and what is out of service."""

from __future__ import annotations

import pickle
import warnings

import numpy as np
import pytest

from anmjax.grid import IsolatedBusWarning, Network, NetworkError, ReferenceBusWarning, SetPointWarning
from anmjax.grid.power_tables.fields import PowerTables, network_fields

BASE = 100.0
# 13 columns: number, type, PD, QD, GS, BS, area, VM, VA, kV, zone, VMAX, VMIN. Out of order, as files may be.
BUS = np.array(
    [
        [30, 2, 10, 5, 0, 0, 1, 1, 7.0, 20, 1, 1.1, 0.9],
        [10, 3, 0, 0, 0, 0, 1, 1, -3.0, 20, 1, 1.1, 0.9],
        [20, 2, 20, 0, 0, 0, 1, 1, 11.0, 20, 1, 1.1, 0.9],
        [40, 1, 30, 8, 0, 0, 1, 1, 0.0, 20, 1, 1.1, 0.9],
    ]
)
GEN = np.array(
    [
        [10, 50, 0, 99, -99, 1.01, 100, 1],
        [20, 15, 3, 99, -99, 1.02, 100, 1],
        [30, 12, 2, 99, -99, 1.03, 100, 1],
    ]
)
BRANCH = np.array(
    [
        [10, 20, 0.01, 0.1, 0, 0, 0, 0, 0, 0, 1],
        [20, 30, 0.01, 0.1, 0, 0, 0, 0, 0, 0, 1],
        [30, 40, 0.01, 0.1, 0, 0, 0, 0, 0, 0, 1],
    ]
)


def changed(table, *cells):
    table = table.copy()
    for row, column, value in cells:
        table[row, column] = value
    return table


def read(bus=BUS, gen=GEN, branch=BRANCH, **more):
    source = PowerTables(BASE, bus, gen, branch, branch_g=np.zeros(len(branch)), **more)
    return Network(**network_fields(source, "the tables"))


def ids(net, positions):
    return tuple(net.bus_ids[k] for k in positions)


def test_every_reference_bus_with_a_generator_is_a_slack_with_a_device_of_its_own():
    net = read(changed(BUS, (0, 1, 3)))
    assert (ids(net, net.slacks), ids(net, net.pv)) == ((10, 30), (20,))
    np.testing.assert_allclose(np.rad2deg(net.slack_angle), [-3, 7], rtol=1e-15)
    np.testing.assert_array_equal(net.v_set[list(net.slacks)], [1.01, 1.03])
    assert (net.slack, net.n_slack) == (0, 2)
    assert (net.device_ids, net.device_bus, net.device_kind) == ((0, 1), net.slacks, (0, 0))
    np.testing.assert_array_equal(net.p_max, [np.inf, np.inf])
    np.testing.assert_array_equal(net.astype(np.float32).slack_angle, net.slack_angle.astype(np.float32))


def test_an_island_with_a_reference_bus_stays_and_one_without_is_left_out():
    apart = changed(BRANCH, (1, 10, 0))
    assert read(changed(BUS, (0, 1, 3)), branch=apart).n_bus == 4
    with pytest.warns(IsolatedBusWarning, match=r"2 isolated buses .* 40 MW and 13 MVAr of load: bus 30, 40"):
        net = read(branch=apart)
    assert net.bus_ids == (10, 20)


# MATPOWER's bustypes.m: reference buses with a generator in service, else the first PV bus of the table.
@pytest.mark.parametrize(
    ("bus", "gen", "slacks", "pv", "without"),
    [
        pytest.param(BUS, changed(GEN, (0, 7, 0)), (30,), (20,), (10,), id="an idle reference"),
        pytest.param(changed(BUS, (1, 1, 1)), GEN, (30,), (20,), (), id="no reference"),
        pytest.param(BUS, changed(GEN, (0, 7, 0), (2, 7, 0)), (20,), (), (10,), id="an idle PV bus before"),
        pytest.param(changed(BUS, (3, 1, 3)), GEN, (10,), (20, 30), (40,), id="one of two is idle"),
    ],
)
def test_without_a_generator_at_the_reference_matpowers_choice_takes_its_place(bus, gen, slacks, pv, without):
    with pytest.warns(ReferenceBusWarning, match="the reference instead") as caught:
        net = read(bus, gen)
    assert (ids(net, net.slacks), ids(net, net.pv)) == (slacks, pv)
    number = {row[0]: row for row in bus}
    np.testing.assert_allclose(np.rad2deg(net.slack_angle), [number[i][8] for i in slacks], rtol=1e-15)
    # A bus that is held by nothing keeps what its generators and loads inject.
    k = net.bus_ids.index(10)
    assert net.p[k] == (0.5 if gen[0, 7] else 0.0)
    warning = pickle.loads(pickle.dumps(caught[0].message))
    assert (warning.references, warning.without_generator) == (slacks, without)
    assert str(warning) == str(caught[0].message)


def test_where_no_bus_can_be_the_reference_all_that_would_do_is_named():
    for bus, found in ((BUS, "3 at bus 10"), (changed(BUS, (1, 1, 1)), "never 3")):
        with pytest.raises(NetworkError) as caught:
            read(bus, changed(GEN, (0, 7, 0), (1, 7, 0), (2, 7, 0)))
        assert str(caught.value.faults[0]) == (
            f"network: BUS_TYPE is '{found}', must be 3 (reference) or 2 (PV) for a bus with a generator in "
            "service"
        )


# F_BUS T_BUS BR_STATUS PF PT QF QT VF VT PMIN PMAX QMINF QMAXF QMINT QMAXT LOSS0 LOSS1
DCLINE = np.array([[20, 40, 1, 10, 9, 1, 2, 1.04, 0.98, 0, 99, -9, 9, -9, 9, 0.4, 0.05]])


def test_a_line_of_direct_current_takes_pf_gives_pf_less_the_loss_and_holds_both_ends():
    idle = np.full((1, 17), np.nan)
    idle[0, 2] = 0
    net = read(dcline=np.concatenate([DCLINE, idle]))
    plain = read()
    # MATPOWER's toggle_dcline.m: PT = PF - (LOSS0 + LOSS1 PF) = 10 - (0.4 + 0.5) = 9.1, whatever PT says.
    np.testing.assert_allclose(net.p - plain.p, [0, -0.10, 0, 0.091], rtol=0, atol=1e-15)
    np.testing.assert_allclose(net.q - plain.q, [0, 0.01, 0, 0.02], rtol=0, atol=1e-15)
    assert ids(net, net.pv) == (20, 30, 40)  # 40 was a PQ bus
    # MATPOWER appends the line's ends to the generators and takes a bus's last set-point: 1.04, not 1.02.
    np.testing.assert_array_equal(net.v_set, [1.01, 1.04, 1.03, 0.98])
    assert ids(net, net.slacks) == (10,)


@pytest.mark.parametrize(
    ("cell", "message"),
    [
        ((0, 0, 50), "dcline (row 0): F_BUS is 50, must be the number of a bus"),
        ((0, 3, np.nan), "dcline (row 0): PF is nan, must be a finite number"),
        ((0, 8, 0), "dcline (row 0): VT is 0, must be a finite number > 0"),
        ((0, 2, np.nan), "dcline (row 0): BR_STATUS is nan, must be a number"),
    ],
)
def test_a_fault_of_a_line_of_direct_current_is_named(cell, message):
    with pytest.raises(NetworkError) as caught:
        read(dcline=changed(DCLINE, cell))
    assert message in str(caught.value)


def test_a_narrow_table_of_lines_of_direct_current_is_named():
    with pytest.raises(NetworkError, match=r"dcline is 'of shape \(1, 4\)', must be a table of 17 columns"):
        read(dcline=DCLINE[:, :4])


@pytest.mark.parametrize(
    ("column", "value"), [(2, np.nan), (3, np.inf), (4, np.nan), (8, -1.0), (9, np.nan), (1, 77), (1, 10)]
)
def test_an_open_branch_whose_numbers_make_no_branch_is_left_out(column, value):
    more = np.concatenate([BRANCH, [[10, 40, 0.01, 0.1, 0, 0, 0, 0, 0, 0, 0]]])
    assert read(branch=more).in_service.tolist() == [1, 1, 1, 0]
    assert read(branch=changed(more, (3, column, value))).n_branch == 3
    # In service it is a fault.
    with pytest.raises(NetworkError):
        read(branch=changed(more, (3, 10, 1), (3, column, value)))


def test_generators_out_of_service_may_hold_anything():
    rubbish = np.full((1, 8), np.nan)
    rubbish[0, 7] = 0
    net = read(gen=np.concatenate([GEN, rubbish]))
    np.testing.assert_array_equal(net.p, read().p)


def test_loads_of_constant_current_and_unequal_ends_are_taken_over():
    drawn = np.array([[1, 2], [0, 0], [0, 0], [5, 0]])
    unequal = np.array([[0, 0, 0, 0], [0.1, 0.2, 0.3, 0.4], [0, 0, 0, 0]])
    net = read(current_load=drawn, asymmetry=unequal)
    assert ids(net, net.current_load_bus) == (30, 40)
    np.testing.assert_allclose(net.p_current, [0.01, 0.05], rtol=1e-15)
    np.testing.assert_allclose(net.q_current, [0.02, 0], rtol=1e-15)
    assert net.asymmetry is not None
    for name, column in zip("rxgb", unequal.T, strict=True):
        np.testing.assert_array_equal(getattr(net.asymmetry, name), column)
        assert getattr(net.astype(np.float32).asymmetry, name).dtype == np.float32
    assert read(current_load=0 * drawn, asymmetry=0 * unequal).asymmetry is None
    with pytest.raises(ValueError, match="loads of constant current, branches that differ from end to end"):
        net.to_dict()


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"current_load": changed(np.zeros((4, 2)), (0, 1, np.nan))}, "bus 30: current_load is"),
        ({"asymmetry": changed(np.zeros((3, 4)), (1, 2, np.inf))}, "branch 20-30 (row 1): BR_G_ASYM is inf"),
        (
            {"asymmetry": changed(np.zeros((3, 4)), (1, 0, -0.01), (1, 1, -0.1))},
            "branch 20-30 (row 1): BR_X_ASYM is -0.1, must leave an impedance at the to end",
        ),
    ],
)
def test_a_fault_of_what_matpower_has_no_columns_for_is_named(more, message):
    with pytest.raises(NetworkError) as caught:
        read(**more)
    assert message in str(caught.value)


def test_several_slacks_are_none_of_a_gym_anm_dicts_business():
    with pytest.raises(ValueError, match="several slack buses"):
        read(changed(BUS, (0, 1, 3))).to_dict()


def test_the_warning_of_another_reference_points_at_the_caller(tmp_path):
    path = tmp_path / "idle.m"
    tables = {"bus": BUS, "gen": changed(GEN, (0, 7, 0)), "branch": BRANCH}
    rows = {name: ";\n".join(" ".join(map(str, row)) for row in table) for name, table in tables.items()}
    text = "".join(f"mpc.{name} = [\n{table}\n];\n" for name, table in rows.items())
    path.write_text(f"function mpc = idle\nmpc.version = '2';\nmpc.baseMVA = 100;\n{text}", encoding="utf-8")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        net = Network.from_matpower(path)
    assert ids(net, net.slacks) == (30,)
    assert [(w.category, w.filename) for w in caught] == [(ReferenceBusWarning, __file__)]


# MATPOWER 8, runpf.m: V0(gbus) = gen(on, VG) ./ abs(V0(gbus)) .* V0(gbus); of equal indices the last counts.
def test_of_set_points_at_odds_the_last_in_service_counts_with_a_warning():
    gen = np.concatenate([GEN, changed(GEN[1:2], (0, 5, 1.04)), changed(GEN[1:2], (0, 5, 0.5), (0, 7, 0))])
    with pytest.warns(SetPointWarning, match="the tables: generators at bus 20 disagree") as caught:
        net = read(gen=gen)
    assert caught[0].message.bus_ids == (20,)
    assert pickle.loads(pickle.dumps(caught[0].message)).args == caught[0].message.args
    np.testing.assert_array_equal(net.v_set, [1.01, 1.04, 1.03, 1])
    np.testing.assert_allclose(net.p[1] * BASE, 15 + 15 - 20, rtol=1e-14)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        # At a PQ bus no voltage is held, and none counts.
        read(changed(BUS, (2, 1, 1)), gen=gen)
