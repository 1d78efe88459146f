"""The pages do what they say: their programs and commands run, and what they name exists."""

from __future__ import annotations

import importlib.util
import os
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from anmjax.cli import main
from anmjax.cli.parser import build_parser
from benchmarks import tables

ROOT = Path(__file__).parent.parent
SETTINGS = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]


def name_of(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def code_blocks(page: Path, language: str) -> list[str]:
    text = page.read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.DOTALL | re.MULTILINE)


def commands(page: Path) -> list[str]:
    """The commands of the bash blocks, without comments."""
    lines = "".join(code_blocks(page, "bash")).replace("\\\n", " ").splitlines()
    return [shlex.join(shlex.split(part, comments=True)) for line in lines for part in line.split("&&")]


# In the order of the pages, README first.
OURS = [*dict.fromkeys(line for page in PAGES for line in commands(page) if line.startswith("anmjax "))]
WITH_PYTHON = [page for page in PAGES if code_blocks(page, "python")]
# Three processes of much the same length, so that each pays for its imports once: most is compiling.
LONG = (("adapters",), ("quickstart", "quadratic-programs", "mpc", "training", "replay"))
BY_PROCESS = [
    *([page for page in WITH_PYTHON if page.stem in names] for names in LONG),
    [page for page in WITH_PYTHON if page.stem not in {name for names in LONG for name in names}],
]


def test_the_first_two_commands_of_the_readme_are_the_main_job_and_the_tests():
    assert code_blocks(ROOT / "README.md", "bash")[:2] == [
        "pip install -e . && anmjax train ANM6Easy-v0\n",
        'pip install -e ".[test]" && pytest\n',
    ]


@pytest.mark.pages
@pytest.mark.parametrize("pages", BY_PROCESS, ids=lambda pages: f"{pages[0].stem} and {len(pages) - 1} more")
def test_the_python_of_a_page_runs_from_top_to_bottom(pages, tmp_path):
    programs = []
    for page in pages:
        programs.append(tmp_path / f"{page.stem}.py")
        programs[-1].write_text("\n".join(code_blocks(page, "python")), encoding="utf-8")
    one_by_one = "import runpy, sys\nfor page in sys.argv[1:]:\n    runpy.run_path(page)"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", one_by_one, *map(str, programs)],
        cwd=tmp_path,
        # Compiling is most of it: what runs once need not run fast.
        env={**os.environ, "JAX_DISABLE_MOST_OPTIMIZATIONS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def shortened(command: str) -> list[str]:
    """Words of a command, so that it takes seconds: the last of an option counts."""
    words = shlex.split(command)[1:]
    match words:
        case ["train", "--resume", *_] if "--total-steps" in words:
            return [*words, "--total-steps", "1024"]
        case ["train", "--resume", *_]:
            return words
        case ["train", *_] if "shac" in words and "--help" not in words:
            return [*words, "--total-steps", "512", "--num-envs", "128", "--horizon", "2"]
        case ["train", *_] if "--help" not in words:
            return [*words, "--total-steps", "512", "--num-envs", "128", "--num-steps", "2"]
        case ["evaluate", *_]:
            if "--plot" in words:  # of the second day from the first start
                return [*words, "--horizon", "192", "--drawn", "--num-starts", "1"]
            return [*words, "--horizon", "4"]
        case ["render", *_]:
            return [*words, "--horizon", "4"]
        case ["rollout", *_]:
            return [*words, "--steps", "4"]
    return words


@pytest.mark.slow
def test_the_commands_of_the_pages_run_one_after_the_other(tmp_path):
    """All but those of two machines, which are read as the others are."""
    quick = {
        "JAX_COMPILATION_CACHE_DIR": str(tmp_path / "compiled"),
        "JAX_DISABLE_MOST_OPTIMIZATIONS": "1",
    }
    for command in OURS:
        if "--coordinator" not in command:
            done = subprocess.run(
                [sys.executable, "-m", "anmjax.cli", *shortened(command)],
                cwd=tmp_path,
                env={**os.environ, **quick},
                capture_output=True,
                text=True,
                check=False,
            )
            assert done.returncode == 0, f"{command}: {done.stderr}"
            assert done.stdout, command
    assert {"scores.csv", "day.png", "runs"} <= {path.name for path in tmp_path.iterdir()}


@pytest.mark.parametrize("command", OURS)
def test_a_command_of_the_pages_is_understood(command, capsys):
    words = shlex.split(command)[1:]
    if "--help" in words:
        with pytest.raises(SystemExit) as left:
            build_parser().parse_args(words)
        assert left.value.code == 0
        assert capsys.readouterr().out
    else:
        assert callable(build_parser().parse_args(words).run)


def test_the_list_of_tasks_shows_those_that_the_pages_name(capsys):
    assert main(["list"]) == 0
    # A task is at the beginning of a line; what is said of it may go on in the next.
    listed = set(re.findall(r"^\S+", capsys.readouterr().out, re.MULTILINE))
    named = {task for command in OURS for task in re.findall(r"\w+-v\d+", command)}
    assert named
    assert named <= listed
    assert listed <= set(re.findall(r"`(\w+-v\d+)`", (ROOT / "docs/tasks.md").read_text(encoding="utf-8")))


def runs(module: str) -> bool:
    """Whether ``python -m`` has something to run there."""
    found = importlib.util.find_spec(module)
    if found is not None and found.submodule_search_locations is not None:
        return importlib.util.find_spec(f"{module}.__main__") is not None
    return found is not None


def fault(command: str) -> str | None:
    """What is wrong with a command that is not ours, by the files and names it speaks of."""
    words = shlex.split(command)
    markers = {marker.partition(":")[0] for marker in SETTINGS["tool"]["pytest"]["ini_options"]["markers"]}
    extras = set(SETTINGS["project"]["optional-dependencies"])
    match words:
        case ["pip", "install", *named]:
            asked = {
                extra
                for word in named
                for extra in re.findall(r"[\w-]+", "".join(re.findall(r"\[(.*)\]", word)))
            }
            return None if asked <= extras else f"no extras {asked - extras}"
        case ["pytest"]:
            return None
        case ["pytest", "-m", marker]:
            return None if marker in markers else f"no marker {marker}"
        case ["pytest", path, "-n", "0"]:
            return None if (ROOT / path).exists() else f"no file {path}"
        case ["python", "-m", module]:
            return None if runs(module) else f"no module {module}"
        case ["bash", path] | ["bash", path, "FOLDER"]:
            return None if (ROOT / path).exists() else f"no file {path}"
        case ["pre-commit", "install"]:
            return None if (ROOT / ".pre-commit-config.yaml").exists() else "no hooks"
        case ["ruff" | "mypy", *_]:
            return None if command in (ROOT / ".ci/run").read_text(encoding="utf-8") else "not run"
        case ["mkdocs", "serve"]:
            return None if (ROOT / "mkdocs.yml").exists() else "no settings"
    return "of a kind that nothing checks"


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_a_command_of_a_page_that_is_not_ours_names_what_exists(page):
    others = [command for command in commands(page) if command and not command.startswith("anmjax ")]
    # In the text too; a table names the command of its record, which is history.
    text = tables.BLOCK.sub("", page.read_text(encoding="utf-8"))
    spoken = re.findall(r"`((?:pip install|pytest|bash|python -m) [^`]*)`", text)
    others += [shlex.join(shlex.split(part)) for command in spoken for part in command.split("&&")]
    assert {command: fault(command) for command in others if fault(command)} == {}


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_a_page_names_files_that_exist(page):
    text = page.read_text(encoding="utf-8")
    links = [link for link in re.findall(r"\]\(([^)#\s]+)", text) if "://" not in link]
    assert [link for link in links if not (page.parent / link).exists()] == []
    named = set(re.findall(r"`((?:anmjax|benchmarks|notebooks|tests)/[\w./]+)`", text))
    assert [path for path in named if not (ROOT / path).exists()] == []


@pytest.mark.parametrize("document", tables.DOCUMENTS, ids=name_of)
def test_tables_are_those_of_the_newest_records(document):
    text = document.read_text(encoding="utf-8")
    assert tables.render(text) == text, "run 'python -m benchmarks.tables'"


def test_every_page_with_tables_is_kept_in_step():
    with_tables = [page for page in PAGES if tables.BLOCK.search(page.read_text(encoding="utf-8"))]
    assert set(with_tables) == set(tables.DOCUMENTS)
