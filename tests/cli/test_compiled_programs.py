"""Compiled programs that commands keep for the next."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import jax
import jax.numpy as jnp
import pytest
from jax.experimental.compilation_cache import compilation_cache

from anmjax.cli import compiled_programs
from anmjax.cli.compiled_programs import FOLDER, cache_folder, keep_programs

OPTIONS = (
    "jax_enable_compilation_cache",
    "jax_compilation_cache_dir",
    "jax_persistent_cache_min_compile_time_secs",
)


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A user's cache folder of its own, and JAX as it starts."""
    before = {name: getattr(jax.config, name) for name in OPTIONS}
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    jax.config.update("jax_enable_compilation_cache", True)
    jax.config.update("jax_compilation_cache_dir", None)
    compilation_cache.reset_cache()
    yield tmp_path
    for name, value in before.items():
        jax.config.update(name, value)
    compilation_cache.reset_cache()


def test_programs_are_kept_in_the_users_folder_by_version_and_processor(home: Path) -> None:
    keep_programs(no_cache=False)
    folder = Path(getattr(jax.config, FOLDER))
    assert folder == cache_folder()
    assert folder.parent == home / "anmjax"
    assert folder.name.startswith(f"jax-{jax.__version__}-")
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    jax.jit(lambda x: jnp.sin(x) * 3.25)(jnp.ones(7))
    assert list(folder.glob("*-cache"))


def test_with_no_cache_none_is_kept(home: Path) -> None:
    keep_programs(no_cache=True)
    assert not jax.config.jax_enable_compilation_cache
    assert not list(home.iterdir())


def test_a_folder_that_jax_has_been_told_of_stays(home: Path) -> None:
    jax.config.update("jax_compilation_cache_dir", str(home / "own"))
    keep_programs(no_cache=False)
    assert getattr(jax.config, FOLDER) == str(home / "own")


def test_a_home_that_cannot_be_written_to_is_done_without_and_told(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (home / "anmjax").write_text("a file where the folder would be")
    keep_programs(no_cache=False)
    assert getattr(jax.config, FOLDER) is None
    said = capsys.readouterr().err
    assert said.startswith("Compiled programs are not kept: ")
    assert str(home / "anmjax") in said
    assert said.count("\n") == 1


def test_the_oldest_programs_go_where_there_are_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiled_programs, "MAX_BYTES", 1000)
    folder = cache_folder()
    folder.mkdir(parents=True)
    for age in range(5):
        (folder / str(age)).write_bytes(bytes(300))
        os.utime(folder / str(age), (1e9 - age, 1e9 - age))
    keep_programs(no_cache=False)
    assert sorted(file.name for file in folder.iterdir()) == ["0"]
