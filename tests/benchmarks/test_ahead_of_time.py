"""Programs compiled for devices that are not there: what is counted of them, and what they may come to."""

from __future__ import annotations

import base64

import jax
import numpy as np
import pytest

from anmjax import power_flow
from benchmarks.accelerators import ahead, loops, registers
from benchmarks.accelerators.programs import ANM6, IEEE33, PROGRAMS
from benchmarks.accelerators.targets import INSTALL, TARGETS
from benchmarks.accelerators.traffic import bytes_moved
from benchmarks.harness.compiled_text import launches, parse, turns_by_data
from tests.powerflow.networks import loaded_feeder

# Of a step of ANM6Easy-v0 with auto reset on an H200 in float32: a tenth above what it comes to.
MOST_KERNELS, MOST_BYTES = 17, 1_060
MOST_KERNELS_IEEE33, MOST_BYTES_IEEE33 = 43, 23_500  # the same of IEEE33Easy-v0
MOST_OPERATIONS = 200  # of a TPU v5e
# A loop of 3 - 1 turns with a kernel in it that reads 4 of 100 rows of 8 lanes and writes those, and a
# choice between one kernel and two.
TEXT = """HloModule a
%fused (rows: f32[100,8], index: s32[4,1]) -> f32[4,8] {
  %rows = f32[100,8]{1,0} parameter(0)
  %index = s32[4,1]{1,0} parameter(1)
  %taken = f32[4,8]{1,0} gather(%rows, %index), offset_dims={1}
  ROOT %more = f32[4,8]{1,0} negate(%taken)
}

%in_place (all: f32[100,8], own: f32[1,8], at: s32[]) -> f32[100,8] {
  %all = f32[100,8]{1,0} parameter(0)
  %own = f32[1,8]{1,0} parameter(1)
  %at = s32[] parameter(2)
  ROOT %put = f32[100,8]{1,0} dynamic-update-slice(%all, %own, %at, %at)
}

%body (c: (s32[], f32[100,8], s32[4,1])) -> (s32[], f32[100,8], s32[4,1]) {
  %c = (s32[], f32[100,8]{1,0}, s32[4,1]{1,0}) parameter(0)
  %rows.1 = f32[100,8]{1,0} get-tuple-element(%c), index=1
  %index.1 = s32[4,1]{1,0} get-tuple-element(%c), index=2
  %few = f32[4,8]{1,0} fusion(%rows.1, %index.1), kind=kLoop, calls=%fused
  ROOT %d = (s32[], f32[100,8]{1,0}, s32[4,1]{1,0}) tuple(%c, %rows.1, %index.1)
}

%condition (e: (s32[], f32[100,8], /*index=2*/s32[4,1])) -> pred[] {
  %e = (s32[], f32[100,8]{1,0}, /*index=2*/s32[4,1]{1,0}) parameter(0)
  %count = s32[] get-tuple-element(%e), index=0
  %three = s32[] constant(3)
  ROOT %less = pred[] compare(%count, %three), direction=LT
}

%one (f: f32[8]) -> f32[8] {
  %f = f32[8]{0} parameter(0)
  ROOT %g = f32[8]{0} negate(%f)
}

%two (h: f32[8]) -> f32[8] {
  %h = f32[8]{0} parameter(0)
  %i = f32[8]{0:S(1)} negate(%h)
  ROOT %j = f32[8]{0} negate(%i)
}

ENTRY %main (k: f32[100,8], l: s32[4,1], m: f32[1,8], n: pred[], o: s32[]) -> f32[8] {
  %k = f32[100,8]{1,0} parameter(0)
  %l = s32[4,1]{1,0} parameter(1)
  %m = f32[1,8]{1,0} parameter(2)
  %n = pred[] parameter(3)
  %o = s32[] parameter(4)
  %from = s32[] constant(1)
  %copied = f32[100,8]{1,0} fusion(%k, %m, %o), kind=kLoop, calls=%in_place
  %begin = (s32[], f32[100,8]{1,0}, s32[4,1]{1,0}) tuple(%from, %copied, %l)
  %loop = (s32[], f32[100,8]{1,0}, s32[4,1]{1,0}) while(%begin), condition=%condition, body=%body
  %row = f32[8]{0} bitcast(%m)
  ROOT %end = f32[8]{0} conditional(%n, %row, %row), true_computation=%one, false_computation=%two
}
"""
CUSTOM = 'custom-call(%rows.1, %index.1), custom_call_target="t", backend_config={ir = "..", name = "rows"}'
TOLD = """
ptxas info    : Compiling entry function 'fusion_1' for 'sm_90a'
ptxas info    : Function properties for fusion_1
    0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads
ptxas info    : Used 40 registers, used 0 barriers
ptxas info    : Function properties for fusion_2
    24 bytes stack frame, 16 bytes spill stores, 8 bytes spill loads
ptxas info    : Used 255 registers, used 1 barriers
"""


def needs(target):
    missing = not TARGETS[target].installed()
    return pytest.mark.skipif(missing, reason=f"no compiler for {target}: {INSTALL}")


@pytest.fixture(scope="module")
def program():
    return parse(TEXT)


def test_loops_turn_and_the_longer_branch_counts(program):
    found = launches(program)
    times = {kernel.instruction.name: kernel.times for kernel in found.kernels}
    # The condition of a loop whose turns are known is not asked for.
    assert times == {"copied": 1, "few": 2, "less": 0, "i": 1, "j": 1}
    assert found.open_loops == 0


def test_a_loop_that_ends_by_its_data_counts_once_and_is_told():
    found = launches(parse(TEXT.replace("direction=LT", "direction=NE")))
    assert {kernel.instruction.name for kernel in found.kernels if kernel.times == 1} >= {"few", "less"}
    assert found.open_loops == 1


def test_bytes_are_those_of_the_elements_that_a_kernel_needs(program):
    moved = {kernel.instruction.name: bytes_moved(program, kernel) for kernel in launches(program).kernels}
    assert moved["few"] == 4 * (4 * 8 + 4 + 4 * 8)  # rows and their numbers read, rows written
    assert moved["copied"] == 4 * (8 + 1 + 8)  # in place: one row read and written, its place read
    assert moved["i"] == moved["j"] == 4 * 8  # the array between the two stays on the chip


def brought_along(target, module):
    """A program that is one kernel, written by hand, and a buffer."""
    return parse(f"""HloModule b
ENTRY %main (a: f32[8]) -> f32[8] {{
  %a = f32[8]{{0}} parameter(0)
  %room = f32[8]{{0}} custom-call(), custom_call_target="AllocateBuffer"
  ROOT %b = (f32[8]{{0}}, pred[8]{{0}}) custom-call(%a), custom_call_target="{target}", config={module}
}}
""")


@pytest.mark.parametrize("turns", [True, False])
def test_a_kernel_that_is_brought_along_is_one_and_its_loops_by_data_are_told(turns):
    ends = "condition" if turns else "yield"
    body = base64.b64encode(f"vector.load\0scf.{ends}\0".encode()).decode()
    for program in (
        brought_along("__gpu$xla.gpu.triton", f'{{ir = "ML\\EFR\\00{ends}\\00"}}'),
        brought_along("tpu_custom_call", f'{{"custom_call_config":{{"body":"{body}"}}}}'),
    ):
        [kernel] = launches(program).kernels
        assert kernel.times == 1
        assert turns_by_data(kernel.instruction) == turns
        assert bytes_moved(program, kernel) == 4 * 8 + 4 * 8 + 8


def test_bytes_of_a_kernel_with_loops_are_what_they_load_and_store():
    net, lanes = loaded_feeder()[0].astype(np.float32), 1024
    powers = jax.ShapeDtypeStruct((lanes, net.n_bus), np.float32)
    found = loops.moved_by_kernels(jax.vmap(lambda p, q: power_flow(net, p, q).v), (powers, powers))
    n, slots, ends = net.n_bus - 1, net.n_bus - 2, 2 * net.n_branch - 1  # of the slack one branch
    # Of a bus: its voltage, those around it and its powers; factors and half solutions of those before it.
    turn = 4 * n + 2 * ends + 6 * slots + (2 * n + 4 * slots)
    # Half solutions and factors, and voltages before and after.
    condition = 2 * n + 6 * slots + 2 * n + 4 * n
    once = 3 * 2 * net.n_bus + 2
    assert found == {"newton_33_buses": tuple(4 * lanes * x for x in (once, turn, condition))}
    assert found["newton_33_buses"].total(4) == 4 * lanes * (once + 4 * turn + 3 * condition)


def test_a_kernel_of_known_bytes_counts_as_those():
    text = TEXT.replace("fusion(%rows.1, %index.1), kind=kLoop, calls=%fused", CUSTOM)
    program = parse(text)
    (own,) = (kernel for kernel in launches(program).kernels if kernel.instruction.name == "few")
    assert bytes_moved(program, own, {"rows": 7.0}) == 7
    assert bytes_moved(program, own) == 4 * (4 * 8 + 4 + 100 * 8)


def test_registers_are_the_most_and_spills_the_sum():
    assert registers.read(TOLD) == (255, 16 + 8)
    assert registers.read("nothing") is None


def test_a_bound_is_of_launches_and_of_memory():
    counted = ahead.counted(TEXT, 8, 1, TARGETS["h200"])
    assert counted["kernels"] == 1 + 2 + 1 + 1
    seconds = counted["kernels"] * 1.2e-6 + ahead.MANY * counted["bytes_a_lane"] / 4.8e12
    assert counted["bound_per_s"]["graph"] == pytest.approx(ahead.MANY / seconds)


def test_a_program_that_does_not_compile_is_named(monkeypatch, tmp_path, capsys):
    def row(program, target, limit):
        return ahead.not_compiled(program, target, NotImplementedError("no such operation\non this device"))

    monkeypatch.setattr(ahead, "apart", row)
    path = tmp_path / "record.json"
    monkeypatch.setattr(
        "sys.argv", ["ahead", "--programs", "MPC, 32 steps", "--targets", "v5e", "--out", str(path)]
    )
    with pytest.raises(SystemExit) as ended:
        ahead.main()
    assert ended.value.code == "not compiled: MPC, 32 steps for v5e"
    assert "DOES NOT COMPILE, NotImplementedError: no such operation\n" in capsys.readouterr().out
    assert '"error": "NotImplementedError: no such operation"' in path.read_text()


@pytest.mark.long
@needs("h200")
def test_a_step_has_as_few_kernels_and_bytes_as_it_had():
    row = ahead.apart(f"step, {ANM6}", TARGETS["h200"])
    assert "error" not in row, row["error"]
    assert row["kernels"] <= MOST_KERNELS
    assert row["bytes_a_lane"] <= MOST_BYTES
    assert (row["open_loops"], row["open_loops_in_kernels"]) == (0, 1)
    assert row["spilled_bytes"] == 0


@pytest.mark.long
@needs("h200")
def test_a_step_of_a_larger_grid_has_one_kernel_for_its_power_flow():
    row = ahead.apart(f"step, {IEEE33}", TARGETS["h200"])
    assert "error" not in row, row["error"]
    assert row["kernels"] <= MOST_KERNELS_IEEE33
    assert row["bytes_a_lane"] <= MOST_BYTES_IEEE33
    assert (row["open_loops"], row["open_loops_in_kernels"], row["spilled_bytes"]) == (0, 1, 0)


@pytest.mark.long
@needs("v5e")
def test_a_step_is_as_few_operations_of_a_tpu_as_it_was():
    row = ahead.apart(f"step, {ANM6}", TARGETS["v5e"])
    assert "error" not in row, row["error"]
    assert row["kernels"] <= MOST_OPERATIONS
    assert (row["open_loops"], row["open_loops_in_kernels"]) == (0, 1)


@pytest.mark.slow
@pytest.mark.parametrize("name", PROGRAMS)
@pytest.mark.parametrize("target", [pytest.param(name, marks=needs(name)) for name in TARGETS])
def test_every_program_compiles_for_every_device(name, target):
    assert "error" not in ahead.apart(name, TARGETS[target])
