"""Cases are JSON: found by name or path, refused in one sentence, true to their sources."""

from __future__ import annotations

import json
import warnings

import numpy as np
import pytest

from anmjax.grid import CaseError, Network, NetworkError, list_cases, load_case, save_case
from anmjax.grid.tables import LOAD, TABLES
from tests.grid.samples import FULL, SPARSE


@pytest.mark.parametrize("name", list_cases())
def test_every_packaged_case_is_a_sound_network_and_says_where_it_comes_from(name):
    case = load_case(name)
    assert case["name"] == name
    assert case["source"]
    assert case["columns"] == {table.name: list(table.names) for table in TABLES}
    assert Network.from_json(name).n_bus == len(case["bus"])


def test_the_packaged_cases_are_listed():
    assert {"anm6", "ieee33_baran_wu"} <= set(list_cases())


@pytest.mark.parametrize(
    ("wrong", "near"), [("anm_6", "anm6"), ("ANM6", "anm6"), ("ieee33_baran", "ieee33_baran_wu")]
)
def test_a_wrong_name_suggests_the_nearest(wrong, near):
    with pytest.raises(CaseError, match=f"there is no case '{wrong}': did you mean '{near}'"):
        load_case(wrong)


def test_a_name_like_no_other_lists_the_cases():
    with pytest.raises(CaseError, match="packaged cases: anm6, cigre_mv, ieee33_baran_wu"):
        load_case("zzzzzz")


@pytest.mark.parametrize("d", [FULL, SPARSE], ids=["full", "sparse"])
def test_a_saved_network_is_loaded_back_equal(d, tmp_path):
    net = Network.from_dict(d)
    save_case(tmp_path / "case.json", net.to_dict(), name="case", source="here")
    loaded = Network.from_json(tmp_path / "case.json")
    for name, value in vars(net).items():
        np.testing.assert_array_equal(getattr(loaded, name), value, err_msg=name)
    assert load_case(str(tmp_path / "case.json"))["source"] == "here"


def test_infinities_are_written_as_null(tmp_path):
    d = {**FULL, "branch": [[0, 1, 0.1, 0.1, 0, np.inf, 1, 0], *FULL["branch"][1:]]}
    save_case(tmp_path / "case.json", d, name="case")
    assert json.loads((tmp_path / "case.json").read_text())["branch"][0][5] is None
    assert Network.from_json(tmp_path / "case.json").rating[0] == np.inf


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "not valid JSON"),
        ("{", "not valid JSON"),
        ('{"baseMVA": NaN}', "write null"),
        ('{"baseMVA": Infinity}', "write null"),
        ("[1, 2]", "must be a JSON object"),
        ("3", "must be a JSON object"),
        ('{"columns": 3}', "the columns of bus must be BUS_ID"),
        ('{"columns": {"branch": ["T_BUS", "F_BUS"]}}', "the columns of branch must be F_BUS"),
        ("[" * 100_000, "not valid JSON"),
    ],
    ids=range(9),
)
def test_a_broken_file_gives_one_clear_error(text, message, tmp_path):
    path = tmp_path / "broken.json"
    path.write_text(text)
    with pytest.raises(CaseError, match=message) as error:
        load_case(path)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


def test_a_file_that_is_missing_no_text_or_a_folder_gives_one_clear_error(tmp_path):
    (tmp_path / "binary.json").write_bytes(b"\xff\xfe\x00")
    for path in (tmp_path / "missing.json", tmp_path / "binary.json", tmp_path):
        with pytest.raises(CaseError, match="cannot be read"):
            load_case(path)


def test_the_faults_of_a_file_are_reported_under_its_name(tmp_path):
    path = tmp_path / "faulty.json"
    path.write_text(json.dumps({**FULL, "baseMVA": -1, "bus": []}))
    with pytest.raises(NetworkError, match=r"faulty\.json has 2 faults") as error:
        Network.from_json(path)
    assert [fault.field for fault in error.value.faults] == ["baseMVA", "bus"]


def test_the_33_bus_case_is_pandapowers_case33bw():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pandapower's own notices on import
        networks = pytest.importorskip("pandapower.networks")
        reference = networks.case33bw()
    net = Network.from_json("ieee33_baran_wu")
    base = float(net.base_mva)
    assert net.bus_ids == tuple(reference.bus.index)
    np.testing.assert_array_equal(net.base_kv, reference.bus.vn_kv)
    np.testing.assert_array_equal(net.v_max, reference.bus.max_vm_pu)
    np.testing.assert_array_equal(net.v_min, reference.bus.min_vm_pu)
    assert net.bus_ids[net.slack] == reference.ext_grid.bus[0]

    line = reference.line[reference.line.in_service]
    assert net.from_bus == tuple(line.from_bus)
    assert net.to_bus == tuple(line.to_bus)
    ohm = net.base_kv[list(net.from_bus)] ** 2 / base
    # Equal but for the rounding of a division and a product.
    np.testing.assert_allclose(net.r * ohm, line.r_ohm_per_km * line.length_km, rtol=1e-15)
    np.testing.assert_allclose(net.x * ohm, line.x_ohm_per_km * line.length_km, rtol=1e-15)
    np.testing.assert_array_equal(net.b, line.c_nf_per_km)
    assert (line.max_i_ka >= 99999).all()  # its way to say unlimited
    assert np.isinf(net.rating).all()
    np.testing.assert_array_equal([net.tap, net.shift], [np.ones(32), np.zeros(32)])

    loads = list(net.loads)
    assert [net.device_kind[i] for i in loads] == 32 * [LOAD]
    assert [net.bus_ids[net.device_bus[i]] for i in loads] == list(reference.load.bus)
    np.testing.assert_allclose(-net.p_min[loads] * base, reference.load.p_mw, rtol=1e-15)
    np.testing.assert_allclose(
        -net.p_min[loads] * net.qp_ratio[loads] * base, reference.load.q_mvar, rtol=4e-16
    )
    np.testing.assert_array_equal(net.p_max[loads], np.zeros(32))
    grid = reference.ext_grid.iloc[0]
    slack = net.slack_device
    np.testing.assert_array_equal(
        np.array([net.p_max[slack], net.q_max[slack], net.q_min[slack]]) * base,
        [grid.max_p_mw, grid.max_q_mvar, grid.min_q_mvar],
    )
