"""The package as a user meets it: its version, its public names, and a README that does what it says."""

from __future__ import annotations

import inspect
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import anmjax
from benchmarks import tables

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def code_blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.DOTALL | re.MULTILINE)


def test_the_version_is_the_one_in_pyproject():
    assert anmjax.__version__ == PROJECT["version"]


def test_dependencies_have_lower_bounds_and_no_upper_ones():
    extras = PROJECT["optional-dependencies"].values()
    required = [*PROJECT["dependencies"], *(line for extra in extras for line in extra)]
    assert [line for line in required if not re.fullmatch(r"[\w.\-]+(\[\w+\])?>=[\d.]+", line)] == []


def test_every_public_name_exists_and_is_documented():
    assert len(set(anmjax.__all__)) == len(anmjax.__all__)
    public = {name: getattr(anmjax, name) for name in anmjax.__all__ if name != "__version__"}
    undocumented = [
        name for name, thing in public.items() if not inspect.ismodule(thing) and not inspect.getdoc(thing)
    ]
    assert not undocumented


def test_the_first_two_commands_of_the_readme_are_the_main_job_and_the_tests():
    assert code_blocks("bash")[:2] == [
        "pip install -e . && anmjax train ANM6Easy-v0\n",
        'pip install -e ".[test]" && pytest\n',
    ]


def test_the_python_of_the_readme_runs_from_top_to_bottom(tmp_path):
    program = "\n".join(code_blocks("python"))
    run = [sys.executable, "-W", "error", "-c", program]
    done = subprocess.run(run, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("document", tables.DOCUMENTS, ids=lambda path: path.name)
def test_tables_are_those_of_the_newest_records(document):
    text = document.read_text(encoding="utf-8")
    assert tables.render(text) == text, "run 'python -m benchmarks.tables'"
