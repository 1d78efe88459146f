"""Bytes that the kernels of a compiled program move through a device's memory, estimated from its text.

A kernel reads of its arguments the distinct elements that its result needs, each once, and writes its result
once; what it updates in place it does not read. One that the program brings along, written by hand, is taken
to read all of its arguments once. Caches may save some of it, bad access patterns cost more. Arrays that a
TPU keeps on its chip are not counted.
"""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Mapping
from types import MappingProxyType

from benchmarks.harness.compiled_text import Instruction, Launch, Program

_ARRAY = re.compile(r"\b(?P<type>pred|[sufc]\d+|bf16)\[(?P<sizes>[\d,]*)\](?P<layout>\{[^}]*\})?")
_ITEMSIZE = {"pred": 1, "bf16": 2}
_ON_CHIP = re.compile(r"S\([1-9]")  # a memory space other than that of the device
_SLICES = ("gather", "slice", "dynamic-slice")


def bytes_moved(program: Program, launch: Launch, known: Mapping[str, float] = MappingProxyType({})) -> float:
    """Bytes that one launch of a kernel reads and writes; of custom ones those ``known`` by their names."""
    instruction, around = launch.instruction, program.computations[launch.computation]
    if instruction.opcode == "fusion":
        called = re.search(r"calls=%?([\w.\-]+)", instruction.attributes)
        assert called, f"a fusion without a computation: {instruction.name}"
        return _of_fusion(program.computations[called[1]])
    if instruction.opcode in ("copy-start", "slice-start"):
        return _size(instruction.shape) / (2 if instruction.opcode == "copy-start" else 1)
    if instruction.opcode == "custom-call":
        name = re.search(r'\bname = "(\w+)"', instruction.attributes)
        if name and name[1] in known:
            return known[name[1]]
    written = _size(instruction.shape)
    if instruction.opcode in _SLICES:
        return 2 * written
    if instruction.opcode == "dynamic-update-slice":
        return 2 * _size(around[instruction.operands[1]].shape)
    return written + sum(_size(around[name].shape) for name in instruction.operands if name in around)


def _of_fusion(fused: Mapping[str, Instruction]) -> float:
    """Bytes that a fused computation reads of its parameters, and writes."""
    needed: defaultdict[str, float] = defaultdict(float)

    def need(name: str, elements: float) -> None:
        needed[name] = min(needed[name] + elements, _elements(fused[name].shape))

    for one in fused.values():
        if one.root:
            need(one.name, _elements(one.shape))
    for one in reversed(list(fused.values())):
        full = _elements(one.shape)
        if not needed[one.name]:
            continue
        share = needed[one.name] / full
        if one.opcode in _SLICES:
            need(one.operands[0], share * full)
            for index in one.operands[1:]:
                need(index, _elements(fused[index].shape))
        elif one.opcode == "dynamic-update-slice":
            base, update, *start = one.operands
            own = _elements(fused[update].shape)
            need(update, own)
            if not _in_place(fused, one):
                need(base, share * (full - own))
            for index in start:
                need(index, 1)
        else:
            for operand in one.operands:
                need(operand, share * _elements(fused[operand].shape))
    read = sum(
        _size(one.shape) * needed[one.name] / max(_elements(one.shape), 1)
        for one in fused.values()
        if one.opcode == "parameter"
    )
    return read + sum(_written(fused, one) for one in fused.values() if one.root)


def _in_place(fused: Mapping[str, Instruction], update: Instruction) -> bool:
    """Whether an update is written where its base already is: it, or a tuple of such, is what is given."""
    outer = [one for one in fused.values() if one.root and update.name in (one.name, *one.operands)]
    handed_on = any(one is update or one.opcode in ("tuple", "bitcast") for one in outer)
    return handed_on and fused[update.operands[0]].opcode in ("parameter", "bitcast")


def _written(fused: Mapping[str, Instruction], one: Instruction) -> int:
    if one.opcode == "tuple":
        return sum(_written(fused, fused[name]) for name in one.operands)
    if one.opcode == "bitcast":
        return _written(fused, fused[one.operands[0]])
    if one.opcode == "dynamic-update-slice" and _in_place(fused, one):
        return _size(fused[one.operands[1]].shape)
    return 0 if one.opcode == "parameter" else _size(one.shape)


def _elements(shape: str) -> int:
    """Numbers in an array, or in all arrays of a tuple."""
    return sum(_count(found["sizes"]) for found in _ARRAY.finditer(shape))


def _size(shape: str) -> int:
    """Bytes of an array in a device's memory, or of all arrays of a tuple."""
    return sum(
        _count(found["sizes"]) * _itemsize(found["type"])
        for found in _ARRAY.finditer(shape)
        if not _ON_CHIP.search(found["layout"] or "")
    )


def _count(sizes: str) -> int:
    return math.prod(int(size) for size in sizes.split(",") if size)


def _itemsize(name: str) -> int:
    return _ITEMSIZE.get(name) or max(1, int(name[1:]) // 8)
