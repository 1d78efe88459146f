"""The package as a user meets it: its version, its dependencies and its public names."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import inspect
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import anmjax

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def test_the_version_is_the_one_in_pyproject():
    assert anmjax.__version__ == PROJECT["version"]


def test_dependencies_have_lower_bounds_and_no_upper_ones():
    extras = PROJECT["optional-dependencies"].values()
    required = [*PROJECT["dependencies"], *(line for extra in extras for line in extra)]
    assert [line for line in required if not re.fullmatch(r"[\w.\-]+(\[[\w,]+\])?>=[\d.]+", line)] == []


def test_every_public_name_exists_and_is_documented():
    assert len(set(anmjax.__all__)) == len(anmjax.__all__)
    public = {name: getattr(anmjax, name) for name in anmjax.__all__ if name != "__version__"}
    undocumented = [
        name for name, thing in public.items() if not inspect.ismodule(thing) and not inspect.getdoc(thing)
    ]
    assert not undocumented


def test_every_public_name_is_in_the_reference():
    pages = (ROOT / "docs" / "reference").glob("*.md")
    reference = "\n".join(page.read_text(encoding="utf-8") for page in pages)
    shown = set(re.findall(r"^::: anmjax[\w.]*\.(\w+)$", reference, re.MULTILINE))
    assert set(anmjax.__all__) - {"__version__"} - shown == set()


def test_public_names_load_on_first_use_from_where_a_type_checker_finds_them():
    tree = ast.parse(Path(anmjax.__file__).read_text(encoding="utf-8"))
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    seen = {
        alias.asname: node.module
        for node in imports
        for alias in node.names
        if node.module.startswith("anmjax.")
    }
    assert sorted(seen) == anmjax.__all__
    for name, module in seen.items():
        assert getattr(anmjax, name) is getattr(importlib.import_module(module), name)
    program = (
        "import sys, anmjax\n"
        "assert not {'jax', 'numpy'} & sys.modules.keys()\n"
        "from anmjax import *\n"
        "Network, make"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
    with pytest.raises(AttributeError, match="module 'anmjax' has no attribute 'mak'"):
        anmjax.mak  # noqa: B018
