"""Profiles: each fault of a table is one sentence; tables are averaged, interpolated, read from files."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
import pytest

import anmjax
from anmjax.tasks import ProfileError, Profiles


@pytest.fixture(scope="module")
def net() -> anmjax.Network:
    bus = [[0, 0, 20, 1.0, 1.0], [1, 1, 20, 1.05, 0.95]]
    net = anmjax.Network.from_dict(
        {
            "baseMVA": 10,
            "bus": bus,
            "device": [[0, 0, 0, *[None] * 12]],
            "branch": [[0, 1, 0.02, 0.04, 0, 5, 1, 0]],
        }
    )
    return net.with_devices(
        anmjax.Load(bus=1, p_mw=2.0, name="town"),
        anmjax.Renewable(bus=1, p_mw=3.0, name="park"),
        anmjax.Renewable(bus=1, controllable=False, name="roofs"),
        anmjax.Storage(bus=1, p_mw=1.0, capacity_mwh=4.0, name="battery"),
    )


def table(n: int = 6, **changes: object) -> pd.DataFrame:
    times = pd.date_range("2016-01-01", periods=n, freq="h")
    rows = np.arange(float(n))
    return pd.DataFrame({"town": rows / 4, "park": rows, "roofs": rows / 8, **changes}, index=times)


def with_times(*times: str) -> pd.DataFrame:
    frame = table(len(times))
    frame.index = pd.DatetimeIndex(list(times))
    return frame


def test_columns_are_found_by_name_or_id_in_any_order_and_loads_draw(net):
    frame = table()[["roofs", "park", "town"]]
    read = Profiles.from_dataframe(frame, net)
    assert (read.load_ids, read.generator_ids, read.step_hours) == ((1, 3), (2,), 1.0)
    rows = np.arange(6.0)
    np.testing.assert_array_equal(read.values, np.stack([-rows / 4, rows / 8, rows]).T)
    by_id = Profiles.from_numpy({1: rows / 4, "2": rows, 3: rows / 8}, net, step_hours=1, start="2016-01-01")
    np.testing.assert_array_equal(by_id.values, read.values)
    assert by_id.start == read.start


def test_a_csv_file_is_the_frame_that_it_was_written_from(net, tmp_path):
    path = tmp_path / "year.csv"
    table().to_csv(path)
    read = Profiles.from_csv(path, net)
    np.testing.assert_array_equal(read.values, Profiles.from_dataframe(table(), net).values)
    assert read.start == "2016-01-01T00:00:00.000000000"


def test_what_a_file_lacks_may_be_as_in_the_case(net):
    read = Profiles.from_dataframe(table()[["park"]], net, fill="case")
    np.testing.assert_array_equal(read.values[:, :2], 0)  # a dict has no operating point
    np.testing.assert_array_equal(read.values[:, 2], np.arange(6))


def test_longer_steps_average_and_shorter_ones_interpolate(net):
    read = Profiles.from_dataframe(table(), net)
    park = read.at_step(2.0)
    np.testing.assert_allclose(park.values[:, 2], [0.5, 2.5, 4.5], rtol=1e-15)
    # A value holds for an hour: of the first hour and a half, two thirds are 0 and a third is 1.
    np.testing.assert_allclose(read.at_step(1.5).values[:, 2], [1 / 3, 5 / 3, 10 / 3, 14 / 3], rtol=1e-14)
    finer = read.at_step(0.25)
    np.testing.assert_allclose(finer.values[:5, 2], [0, 0.25, 0.5, 0.75, 1])
    assert (finer.num_steps, finer.step_hours) == (24, 0.25)
    assert read.at_step(1.0) is read


FAULTY = {
    "no column for 'park': name columns by device": lambda: table().drop(columns="park"),
    "no column for 'park', 'roofs'": lambda: table()[["town"]],
    "columns 'parc' are of no device (is 'parc' meant to be 'park'?)": lambda: table().rename(
        columns={"park": "parc"}
    ),
    "columns 99 are of no device": lambda: table(**{"x": 1.0}).rename(columns={"x": 99}),
    "columns of 'battery', which follow no profile": lambda: table(battery=0.0),
    "columns 'town', '1' are all of 'town': leave one": lambda: table(**{"1": 0.5}),
    "column 'town' is missing (NaN) at 2016-01-01 02:00, 1 times": lambda: table(
        town=[1, 1, np.nan, 1, 1, 1]
    ),
    "column 'park' is infinite at 2016-01-01 05:00": lambda: table(park=[1, 1, 1, 1, 1, np.inf]),
    "column 'town' holds 'n/a', but must hold numbers": lambda: table(town=["n/a", 1, 1, 1, 1, 1]),
    "column 'park' holds bool, but must hold numbers": lambda: table(park=[True] * 6),
    "column 'town' is -1 MW at 2016-01-01 00:00 (6 of 6 values are negative), but demand": lambda: table(
        town=-1.0
    ),
    "column 'park' is -2 MW at 2016-01-01 01:00 (1 of 6 values are negative), but generation": lambda: table(
        park=[0.0, -2, 0, 0, 0, 0]
    ),
    "column 'town' is 1500 MW at 2016-01-01 00:00, more than the 2 MW": lambda: table(town=1500.0),
    "the time 2016-01-01 01:00 is there twice (1 repeated)": lambda: with_times(
        "2016-01-01 00:00", "2016-01-01 01:00", "2016-01-01 01:00"
    ),
    "times are out of order: 2016-01-01 00:00 comes after 2016-01-01 01:00; sort them": lambda: with_times(
        "2016-01-01 01:00", "2016-01-01 00:00", "2016-01-01 02:00"
    ),
    "times are uneven: 2016-01-01 02:00 is followed by 2016-01-01 05:00, 3 h later and not 1 h": lambda: (
        with_times("2016-01-01 00:00", "2016-01-01 01:00", "2016-01-01 02:00", "2016-01-01 05:00")
    ),
    "row 1 has no time": lambda: with_times("2016-01-01 00:00", "NaT", "2016-01-01 02:00"),
    "there is one time alone: give step_hours": lambda: with_times("2016-01-01"),
    "the table has no rows": lambda: table().iloc[:0],
    "the index holds int64, no times": lambda: table().reset_index(drop=True),
}


@pytest.mark.parametrize("said", FAULTY)
def test_a_fault_of_a_table_is_one_sentence(net, said):
    with pytest.raises(ProfileError, match=re.escape(said)) as fault:
        Profiles.from_dataframe(FAULTY[said](), net)
    assert len(str(fault.value).splitlines()) <= 2  # a name that is wrong is another one that is missing


def test_other_arguments_that_are_wrong_are_named(net, tmp_path):
    rows = np.ones(4)
    with pytest.raises(TypeError, match=r"frame is a dict, expected a pandas\.DataFrame"):
        Profiles.from_dataframe({}, net)
    with pytest.raises(ProfileError, match="lengths \\[3, 4\\]"):
        Profiles.from_numpy({"town": rows, "park": rows[:3]}, net, step_hours=1)
    with pytest.raises(ProfileError, match="step_hours is -1"):
        Profiles.from_numpy({"town": rows}, net, step_hours=-1, fill="case")
    with pytest.raises(ProfileError, match="start is 'noon'"):
        Profiles.from_numpy({"town": rows}, net, step_hours=1, start="noon", fill="case")
    with pytest.raises(ProfileError, match="fill is 'zero'"):
        Profiles.from_dataframe(table(), net, fill="zero")
    path = tmp_path / "odd.csv"
    path.write_text("name,town\nfirst,1\nsecond,2\n")
    with pytest.raises(ProfileError, match="the first column must hold times"):
        Profiles.from_csv(path, net)
    with pytest.raises(ProfileError, match="shorter than a step of 12 h"):
        Profiles.from_dataframe(table(), net).at_step(12.0)
    with pytest.raises(ProfileError, match=r"generators that they lack: .*'more'"):
        Profiles.from_dataframe(table(), net).check(net.with_devices(anmjax.Renewable(bus=1, name="more")))
