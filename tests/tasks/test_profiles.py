"""Daily tables: gym-anm's are gym-anm's, and a table at fault is refused in one sentence."""

from __future__ import annotations

import json
from copy import deepcopy

import jax
import numpy as np
import pytest

from anmjax.grid import Network
from anmjax.tasks.profiles import ProfileError, load_profiles

SAMPLE = {
    "name": "sample",
    "source": "here",
    "description": "two loads, one generator",
    "step_hours": 6,
    "p_load_mw": {"10": [-1, -2.5, 0, 0], "2": [-3, -3, -3, -3]},
    "p_max_mw": {"4": [0, 0.5, 1, 0]},
}
NETWORK = {
    "baseMVA": 3,
    "bus": [[0, 0, 10, 1, 1], [1, 1, 10, 1.1, 0.9]],
    "device": [
        [0, 0, 0] + 12 * [None],
        [2, 1, -1, 0.2, 0, -3] + 9 * [None],
        [4, 1, 2, None, 0.9, 0] + 9 * [None],
        [5, 1, 3, None, 1, -1, 1, -1] + 4 * [None] + [4, 0, 0.9],
        [10, 1, -1, 0.2, 0, -2.5] + 9 * [None],
    ],
    "branch": [[0, 1, 0.01, 0.01, 0, None, 1, 0]],
}


def changed(change):
    data = deepcopy(SAMPLE)
    change(data)
    return data


@pytest.fixture
def write(tmp_path):
    def write(data):
        path = tmp_path / "sample.json"
        path.write_text(data if isinstance(data, str) else json.dumps(data))
        return path

    return write


def test_anm6_easys_tables_are_gym_anms():
    gym_anm = pytest.importorskip("gym_anm.envs.anm6_env.anm6_easy")
    profiles = load_profiles("anm6_easy", Network.from_json("anm6"))
    np.testing.assert_array_equal(profiles.p_load, gym_anm._get_load_time_series())
    np.testing.assert_array_equal(profiles.p_max, gym_anm._get_gen_time_series())
    assert profiles.load_ids == (1, 3, 5)
    assert profiles.generator_ids == (2, 4)
    assert profiles.step_hours == 0.25


def test_a_table_is_read_by_ascending_id_and_fits_its_network(write):
    profiles = load_profiles(write(SAMPLE), Network.from_dict(NETWORK))  # potential above PMAX allowed
    np.testing.assert_array_equal(profiles.p_load, [[-3, -3, -3, -3], [-1, -2.5, 0, 0]])
    np.testing.assert_array_equal(profiles.p_max, [[0, 0.5, 1, 0]])
    assert (profiles.load_ids, profiles.generator_ids) == ((2, 10), (4,))
    assert profiles.p_load.dtype == profiles.p_max.dtype == np.float64


def test_a_table_is_a_pytree_of_its_numbers(write):
    profiles = load_profiles(write(SAMPLE))
    halved = jax.tree.map(lambda x: x / 2, profiles)
    np.testing.assert_array_equal(halved.p_load, profiles.p_load / 2)
    assert len(jax.tree.leaves(profiles)) == 2
    assert halved.load_ids == profiles.load_ids


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ("{", "Expecting property name"),
        ("[" * 100_000, "recursion"),
        ("[]", "must be a JSON object with the keys step_hours, p_load_mw, p_max_mw"),
        (changed(lambda d: d.pop("p_max_mw")), "must be a JSON object with the keys"),
        (changed(lambda d: d.update(step_hours=7)), "step_hours is 7.0, must be a part of 24"),
        (changed(lambda d: d.update(step_hours=0)), "step_hours is 0.0"),
        (changed(lambda d: d.update(step_hours=1e-320)), "step_hours is 1e-320, must be a part of 24, of at"),
        (changed(lambda d: d.update(step_hours=1e-300)), "step_hours is 1e-300"),
        (changed(lambda d: d.update(step_hours=1e308)), r"step_hours is 1e\+308"),
        (changed(lambda d: d.update(step_hours=float("inf"))), "step_hours is inf"),
        (changed(lambda d: d.update(step_hours=float("nan"))), "step_hours is nan"),
        (changed(lambda d: d.update(step_hours=-6)), "step_hours is -6.0"),
        (changed(lambda d: d.update(step_hours="6")), "step_hours is '6'"),
        (changed(lambda d: d.update(step_hours=[6])), "step_hours is \\[6.0\\]"),
        (changed(lambda d: d.update(step_hours=True)), "step_hours is True"),
        (changed(lambda d: d["p_load_mw"].update({"a": []})), "load 'a': must be a device id"),
        (changed(lambda d: d["p_load_mw"].update({"02": []})), "load '02': must be a device id"),
        (changed(lambda d: d["p_load_mw"]["2"].pop()), "load 2: must be 4 numbers, one a step, got 3"),
        (changed(lambda d: d["p_max_mw"].update({"4": 1})), "generator 4: must be 4 numbers, .* got 1.0"),
        (changed(lambda d: d["p_load_mw"].update({"2": [0, 0, 0.5, 0]})), "load 2: 0.5 at step 2, .*<= 0"),
        (
            changed(lambda d: d["p_max_mw"].update({"4": [0, -1, 0, 0]})),
            "generator 4: -1.0 at step 1, .*>= 0",
        ),
        (changed(lambda d: d["p_max_mw"].update({"4": [0, 0, 0, np.nan]})), "generator 4: nan at step 3"),
        (changed(lambda d: d["p_max_mw"].update({"4": [np.inf, 0, 0, 0]})), "generator 4: inf at step 0"),
        (changed(lambda d: d["p_max_mw"].update({"4": [0, True, 0, 0]})), "generator 4: True at step 1"),
        (changed(lambda d: d["p_max_mw"].update({"4": [0, None, 0, 0]})), "generator 4: None at step 1"),
        (changed(lambda d: d["p_load_mw"].pop("2")), "load 2 of the network is missing"),
        (changed(lambda d: d["p_max_mw"].clear()), "generator 4 of the network is missing"),
        (changed(lambda d: d["p_load_mw"].update({"3": 4 * [0]})), "load 3 is unknown, .* has \\[2, 10\\]"),
        (changed(lambda d: d["p_max_mw"].update({"5": 4 * [0]})), "generator 5 is unknown, .* has \\[4\\]"),
        (
            changed(lambda d: d["p_load_mw"].update({"2": [0, -3.1, 0, 0]})),
            "load 2: -3.1 MW is below its PMIN -3 ",
        ),
    ],
    ids=range(30),
)
def test_a_table_at_fault_is_refused_in_one_sentence_that_names_device_and_fault(data, message, write):
    path = write(data)
    with pytest.raises(ProfileError, match=message) as error:
        load_profiles(path, Network.from_dict(NETWORK))
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


def test_tables_that_do_not_exist_say_which_do(tmp_path):
    with pytest.raises(ProfileError, match=r"profiles anm6: there are none .* anm6_easy, ieee33_easy"):
        load_profiles("anm6")
    with pytest.raises(ProfileError, match=r"missing\.json"):
        load_profiles(tmp_path / "missing.json")
    (tmp_path / "binary.json").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ProfileError, match=r"binary\.json"):
        load_profiles(tmp_path / "binary.json")
