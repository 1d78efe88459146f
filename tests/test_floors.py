"""The package is built in floors: imports go down only, and importing it does nothing else."""

from __future__ import annotations

import ast
import functools
import graphlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

import anmjax

PACKAGE = Path(anmjax.__file__).parent
# From the ground up; "anmjax" is the package's own __init__, which gathers the public names.
FLOORS = (
    "grid",
    "lanes",
    "powerflow",
    "qp",
    "projection",
    "envs",
    "tasks",
    "wrappers",
    "agents",
    "render",
    "adapters",
    "anmjax",
    "cli",
)
MODULES = sorted(PACKAGE.rglob("*.py"))
# Files one behind the other that a reader of a floor may have to follow, or of the power flow to the ground.
LONGEST_CHAIN = 12
LONGEST_FILE = 350
OPTIONAL = (
    "brax",
    "clarabel",
    "cvxpy",
    "envelope",
    "gym_anm",
    "gymnasium",
    "gymnax",
    "jaxmarl",
    "matplotlib",
    "minari",
    "pandapower",
    "pandas",
    "pyarrow",
    "stable_baselines3",
    "torch",
)


def floor_of(module: str) -> str:
    """Floor of an absolute module name: 'anmjax.envs.spaces' is on 'envs', 'anmjax' itself on 'anmjax'."""
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else parts[0]


def module_name(path: Path) -> str:
    parts = ("anmjax", *path.relative_to(PACKAGE).with_suffix("").parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(path: Path) -> list[tuple[int, str]]:
    """(line, absolute module) of every import in a file, those inside functions included."""
    package = module_name(path).split(".")
    if path.name != "__init__.py":
        package = package[:-1]
    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found += [(node.lineno, alias.name) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            base = [*base, *(node.module.split(".") if node.module else [])]
            # "from anmjax import envs" reaches the floor envs, "from anmjax import Network" the package.
            names = [alias.name for alias in node.names] if base == ["anmjax"] else []
            floors = [name for name in names if name in FLOORS]
            found += [(node.lineno, f"anmjax.{name}") for name in floors]
            if len(floors) < len(names) or base != ["anmjax"]:
                found.append((node.lineno, ".".join(base)))
    return found


def test_every_module_stands_on_a_known_floor():
    strangers = [path for path in MODULES if floor_of(module_name(path)) not in FLOORS]
    assert not strangers


@pytest.mark.parametrize("path", MODULES, ids=module_name)
def test_imports_go_down_only(path):
    own = floor_of(module_name(path))
    inside = [(line, name) for line, name in imports(path) if name.split(".")[0] == "anmjax"]
    upward = [
        f"{path}:{line} imports {name}"
        for line, name in inside
        if FLOORS.index(floor_of(name)) > FLOORS.index(own)
    ]
    assert not upward


@functools.cache
def graph() -> dict[str, set[str]]:
    """The modules of the package that each one imports, for types alone included.

    What is imported from a package's ``__init__`` is imported from the module that it has the name from. The
    ``__init__`` is in the graph with what it gathers itself.
    """
    paths = {module_name(path): path for path in MODULES}
    trees = {name: ast.parse(path.read_text(encoding="utf-8")) for name, path in paths.items()}

    def taken(name: str) -> list[tuple[str, str]]:
        """(module, name) of what a module imports; no name where the module itself is."""
        found = []
        for node in ast.walk(trees[name]):
            if isinstance(node, ast.Import):
                found += [(alias.name, "") for alias in node.names if alias.name in paths]
            elif isinstance(node, ast.ImportFrom) and node.module in paths:
                found += [(node.module, alias.name) for alias in node.names]
        return found

    gathered = {name: {what: module for module, what in taken(name)} for name in paths}

    def home(module: str, what: str) -> str:
        if f"{module}.{what}" in paths:
            return f"{module}.{what}"
        is_package = paths[module].name == "__init__.py"
        return home(gathered[module][what], what) if is_package and what in gathered[module] else module

    return {name: {home(*one) for one in taken(name)} - {name} for name in paths}


def only_gathers(path: Path) -> bool:
    """Whether a file is an ``__init__`` of imports alone: there is nothing to read in it."""
    statements = ast.parse(path.read_text(encoding="utf-8")).body
    kinds = (ast.Expr, ast.ImportFrom, ast.Assign)  # the docstring, the imports, __all__
    return path.name == "__init__.py" and all(isinstance(one, kinds) for one in statements)


def longest_chain(modules: frozenset[str]) -> tuple[str, ...]:
    """The longest chain of imports within some modules, from the top; files that only gather do not count."""
    gatherers = {module_name(path) for path in MODULES if only_gathers(path)}
    inside = {name: graph()[name] & modules for name in modules}
    longest: dict[str, tuple[str, ...]] = {}
    for name in graphlib.TopologicalSorter(inside).static_order():
        below = max((longest[other] for other in sorted(inside[name])), key=len, default=())
        longest[name] = below if name in gatherers else (name, *below)
    return max(longest.values(), key=len)


def test_no_module_imports_itself_by_way_of_others():
    try:
        order = tuple(graphlib.TopologicalSorter(graph()).static_order())
    except graphlib.CycleError as error:
        pytest.fail(f"imports in a circle: {' -> '.join(error.args[1])}")
    assert set(order) == set(graph())
    # Imports for types alone are seen: the package's own __init__ has no others.
    assert "anmjax.envs.env" in graph()["anmjax"]


@pytest.mark.parametrize("floor", FLOORS)
def test_no_chain_of_imports_within_a_floor_is_long(floor):
    chain = longest_chain(frozenset(name for name in graph() if floor_of(name) == floor))
    assert len(chain) <= LONGEST_CHAIN, " -> ".join(chain)


def test_no_chain_of_imports_from_the_power_flow_down_is_long():
    below = {"anmjax.powerflow.power_flow"}
    while len(grown := below.union(*(graph()[name] for name in below))) > len(below):
        below = grown
    chain = longest_chain(frozenset(below))
    assert chain[0] == "anmjax.powerflow.power_flow"
    assert len(chain) <= LONGEST_CHAIN, " -> ".join(chain)


def test_no_file_is_long():
    root = Path(__file__).parent.parent
    files = [*MODULES, *(path for name in ("benchmarks", "tests") for path in (root / name).rglob("*.py"))]
    sizes = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in files}
    assert not [f"{path}: {size} lines" for path, size in sizes.items() if size > LONGEST_FILE]


def test_the_grid_floor_does_without_jax():
    offenders = [
        f"{path}:{line} imports {name}"
        for path in sorted((PACKAGE / "grid").rglob("*.py"))
        for line, name in imports(path)
        if name.split(".")[0] in ("jax", "jaxlib", "optax", "chex")
    ]
    assert not offenders


def test_what_trains_an_agent_knows_no_algorithm():
    agents = PACKAGE / "agents"
    algorithms = [f"anmjax.agents.{path.name}" for path in agents.iterdir() if path.is_dir()]
    algorithms.remove("anmjax.agents.training")
    assert "anmjax.agents.ppo" in algorithms
    offenders = [
        f"{path}:{line} imports {name}"
        for path in sorted((agents / "training").rglob("*.py"))
        for line, name in imports(path)
        if name.startswith(tuple(algorithms))
    ]
    assert not offenders


def test_importing_anmjax_touches_no_device_reads_no_data_and_loads_no_optional_package():
    program = f"""
import sys
from pathlib import Path
opened = []
sys.addaudithook(lambda event, args: opened.append(args[0]) if event == "open" else None)
import anmjax
package = Path(anmjax.__file__).parent
paths = [Path(path) for path in opened if isinstance(path, str)]
inside = [path for path in paths if path.is_relative_to(package)]
data = [path for path in inside if path.suffix != ".py" and "__pycache__" not in path.parts]
assert not data, f"opened {{data}}"
loaded = [name for name in {OPTIONAL!r} if name in sys.modules]
assert not loaded, f"loaded {{loaded}}"
"""
    # Any use of a device fails at once under a platform that does not exist.
    environment = {**os.environ, "JAX_PLATFORMS": "no_such_platform"}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_only_the_floor_of_lanes_knows_platforms():
    naming = [path for path in MODULES if "platform_dependent" in path.read_text(encoding="utf-8")]
    assert naming, "the name is no longer the one to look for"
    assert {floor_of(module_name(path)) for path in naming} == {"lanes"}
