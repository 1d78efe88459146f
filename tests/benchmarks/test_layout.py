"""Where benchmarks lie, and that none is left out of the smoke run."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from benchmarks import all as whole
from benchmarks.env_step import plot as throughput_plot
from benchmarks.harness import record
from benchmarks.power_flow import plot as power_flow_plot
from tests.benchmarks.test_smokes import LONGEST

ROOT = record.ROOT
FILES = sorted((ROOT / "benchmarks").rglob("*.py"))
LEAVING = [path for path in FILES if "record.make(" in path.read_text(encoding="utf-8")]


def module(path: Path) -> str:
    """As ``python -m`` takes it: a folder's own benchmark goes by the name of the folder."""
    own = path.parent / "__main__.py"
    named = path.parent if own.exists() and f".{path.stem} import main" in own.read_text() else path
    return ".".join(named.relative_to(ROOT).with_suffix("").parts)


def test_no_file_repeats_the_name_of_its_folder():
    folders = {path: path.parent.relative_to(ROOT).parts for path in FILES}
    repeats = [
        path.relative_to(ROOT).as_posix()
        for path, above in folders.items()
        if any(re.search(rf"(^|_){name.removesuffix('s')}s?(_|$)", path.stem) for name in above)
    ]
    assert repeats == []


def test_no_file_is_long():
    lines = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in FILES}
    assert {path: count for path, count in lines.items() if count > 350} == {}


def test_every_benchmark_that_leaves_a_record_is_run_for_a_moment_somewhere():
    called = re.search(
        r"check_benchmarks \\\n((?:.*\\\n)*.*)", (ROOT / ".ci/run").read_text(encoding="utf-8")
    )
    run = {f"benchmarks.{name}" for name in (*LONGEST, *called[1].replace("\\\n", " ").split())}
    run |= {part.module for part in whole.ON_CPU}
    assert {module(path) for path in LEAVING} == run


@pytest.mark.parametrize("path", LEAVING, ids=module)
def test_a_benchmark_and_its_record_are_named_as_it_is_run(path):
    text, name = path.read_text(encoding="utf-8"), module(path)
    assert f'prog="python -m {name}"' in text
    assert re.findall(r'record\.make\(\s*"([\w.]+)"', text) == [name.removeprefix("benchmarks.")]


@pytest.mark.parametrize("plot", [throughput_plot, power_flow_plot], ids=lambda plot: plot.__name__)
def test_the_plots_of_the_newest_records_are_drawn(plot, tmp_path, monkeypatch):
    monkeypatch.setattr(record, "PLOTS", tmp_path)
    plot.main([])
    assert {path.name for path in tmp_path.iterdir()} <= {
        path.name for path in (ROOT / "docs/performance").iterdir()
    }
    assert list(tmp_path.iterdir())
