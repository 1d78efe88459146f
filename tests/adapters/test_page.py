"""The page on other libraries: its programs run from top to bottom, where those libraries are installed."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

PAGE = Path(__file__).parent.parent.parent / "docs" / "adapters.md"
LIBRARIES = ("brax", "gymnax", "jaxmarl", "minari", "stable_baselines3")


@pytest.mark.slow
def test_the_programs_of_the_page_run(tmp_path: Path) -> None:
    missing = [name for name in LIBRARIES if importlib.util.find_spec(name) is None]
    if missing:
        pytest.skip(f"{missing} are not installed")
    text = PAGE.read_text(encoding="utf-8")
    # "py" are those that need more than the package's tests do.
    program = "\n".join(re.findall(r"^```(?:python|py)\n(.*?)^```", text, re.DOTALL | re.MULTILINE))
    assert all(f"{name}" in program for name in LIBRARIES)
    (tmp_path / "page.py").write_text(program, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "page.py"],
        cwd=tmp_path,
        env={**os.environ, "MINARI_DATASETS_PATH": str(tmp_path / "minari")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "steps.npz").exists()
