"""gym-anm's own tests of its simulator, as its release 1.0.1 ships them, over this package.

Later releases ship none. Every assertion counts by itself: one that fails is noted, and its test goes on.
"""

from __future__ import annotations

import inspect
import re
import subprocess
import sys
import types
import unittest
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest

from tests.oracle.gym_anm_names import named

pytestmark = pytest.mark.slow

FILES = (
    "base_test",
    "simulator/test_branch",
    "simulator/test_bus",
    "simulator/test_devices",
    "simulator/test_network_checks",
    "simulator/test_simulator_basics",
    "simulator/test_simulator_transitions",
)


class Sites:
    """The assertions that were reached, by file and line, and what went wrong at those that failed."""

    def __init__(self) -> None:
        self.reached: set[tuple[str, int]] = set()
        self.failed: dict[tuple[str, int], str] = {}

    def here(self) -> tuple[str, int]:
        """The line of gym-anm's that is being run."""
        frame = inspect.currentframe()
        while frame is not None and not frame.f_code.co_filename.startswith("gym-anm:"):
            frame = frame.f_back
        assert frame is not None
        site = frame.f_code.co_filename.removeprefix("gym-anm:"), frame.f_lineno
        self.reached.add(site)
        return site

    def noting(self, check: Callable[..., Any]) -> Callable[..., Any]:
        """A check that notes a failure and goes on."""

        def checked(*args: Any, **kwargs: Any) -> None:
            site = self.here()
            try:
                check(*args, **kwargs)
            except AssertionError as error:
                self.failed.setdefault(site, str(error).strip().splitlines()[0])

        return checked

    @contextmanager
    def raising(self, kind: type[Exception]) -> Iterator[None]:
        """Notes if nothing is raised, or something else."""
        site = self.here()
        try:
            yield
        except kind:
            return
        except Exception as error:
            self.failed.setdefault(site, f"{type(error).__name__} and not {kind.__name__}: {error}")
        else:
            self.failed.setdefault(site, f"no {kind.__name__}")


@pytest.fixture(scope="module")
def sites(tmp_path_factory: pytest.TempPathFactory) -> tuple[Sites, dict[str, str]]:
    """All of gym-anm's assertions, and the tests that could not be run to their end."""
    folder = tmp_path_factory.mktemp("gym-anm")
    fetch = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--only-binary=:all:"]
    subprocess.run([*fetch, "-d", str(folder), "gym-anm==1.0.1"], check=True)
    wheel = zipfile.ZipFile(next(folder.glob("gym_anm-1.0.1-*.whl")))
    found, stopped = Sites(), {}
    checks = (
        "assertEqual",
        "assertAlmostEqual",
        "assertListEqual",
        "assertIsNone",
        "assertTrue",
        "assertFalse",
    )
    with (
        named(),
        mock.patch.object(np, "complex", complex, create=True),
        pytest.MonkeyPatch.context() as patch,
    ):
        for name in checks:
            patch.setattr(unittest.TestCase, name, found.noting(getattr(unittest.TestCase, name)))
        patch.setattr(unittest.TestCase, "assertRaises", found.raising)
        patch.setattr(np.testing, "assert_allclose", found.noting(np.testing.assert_allclose))
        patch.setattr(np.testing, "assert_equal", found.noting(np.testing.assert_equal))
        patch.chdir(folder)
        np.random.seed(0)  # noqa: NPY002 - what the tests draw from
        for file in FILES:
            module = types.ModuleType(f"tests.{file.replace('/', '.')}")
            module.__file__ = str(folder / "tests" / f"{file}.py")
            source = wheel.read(f"tests/{file}.py").decode()
            patch.setitem(sys.modules, module.__name__, module)
            exec(compile(source, f"gym-anm:{Path(file).name}", "exec"), module.__dict__)
            for case in vars(module).values():
                if inspect.isclass(case) and issubclass(case, unittest.TestCase):
                    stopped |= run(case)
    return found, stopped


def run(case: type[unittest.TestCase]) -> dict[str, str]:
    """Runs the tests of a class; those that an error ended, and its kind."""
    stopped = {}
    for name in unittest.defaultTestLoader.getTestCaseNames(case):
        one = case(name)
        one.setUp()
        try:
            getattr(one, name)()
        except Exception as error:
            stopped[name] = type(error).__name__
    return stopped


ROUNDING = "the same but for the last digit"
NO_NONE = "no value is None here: where a limit does not apply, the bound or 0 stands"
ONE_TABLE = "gym-anm has a class for a slack generator and one for loads, here one table has all"
PARALLEL = "branches in parallel are allowed here; the devices of the case have faults of their own"
APART = "the power of a branch is set beside voltages that bring another: here it follows from them"
FAILED = {
    **{("test_branch", line): ROUNDING for line in (31, 32)},
    **{("test_devices", line): NO_NONE for line in (51, 52, 53, 54, 55, 115, 121, 124, 125, 126)},
    **{("test_devices", line): NO_NONE for line in (133, 134, 140, 141, 207, 314)},
    ("test_devices", 60): ONE_TABLE,
    ("test_network_checks", 70): PARALLEL,
    **{("test_simulator_basics", line): APART for line in (240, 242, 266, 267)},
}
STOPPED = {
    # Currents are set beside voltages that bring others; four assertions are not reached.
    "test_compute_power_flows": "AttributeError",
    # A storage unit whose Q has no limit but one that tightens it: refused. Two are not reached.
    "test_default_q_values": "SpecError",
}


def test_what_gym_anm_asserts_of_its_simulator_holds_here(sites: tuple[Sites, dict[str, str]]) -> None:
    found, stopped = sites
    assert stopped == STOPPED
    assert len(found.reached) == 242
    assert set(found.failed) == set(FAILED), found.failed


def test_what_fails_by_rounding_is_off_by_no_more(sites: tuple[Sites, dict[str, str]]) -> None:
    found, _ = sites
    for site in (site for site, why in FAILED.items() if why == ROUNDING):
        ours, theirs = (complex(re.sub(r"^np.complex128", "", x)) for x in found.failed[site].split(" != "))
        assert abs(ours - theirs) < 1e-14 * abs(theirs)
