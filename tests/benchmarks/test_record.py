"""A record's command can be run as it stands, on any machine."""

import sys

import pytest

from benchmarks.harness import record


@pytest.mark.parametrize("out", [["--out", "/tmp/a.json"], ["--out=/tmp/a.json"], []])
def test_the_command_names_the_allocator_and_the_arguments_but_not_where_the_record_lies(monkeypatch, out):
    monkeypatch.setenv("GLIBC_TUNABLES", "glibc.malloc.hugetlb=1")
    monkeypatch.delenv("LD_PRELOAD", raising=False)
    monkeypatch.setattr(
        sys, "argv", ["power_flow.py", "--batches", "1", "1024", *out, "--outages", "case118"]
    )
    assert record.command("power_flow") == (
        "GLIBC_TUNABLES=glibc.malloc.hugetlb=1 python -m benchmarks.power_flow "
        "--batches 1 1024 --outages case118"
    )
