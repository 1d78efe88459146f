"""What a compiled XLA program launches, read from its optimized text."""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass
from typing import NamedTuple

_COMPUTATION = re.compile(r"^(?P<entry>ENTRY )?%?(?P<name>[\w.\-]+) \(.*\{$")
_INSTRUCTION = re.compile(r"^\s+(?P<root>ROOT )?%?(?P<name>[\w.\-]+) = (?P<rest>.*)$")
_OPCODE = re.compile(r"(?:^|[\s)}\]])(?P<opcode>[a-z][a-z\-]*)\(")
_CALLED = re.compile(r"(?:to_apply|true_computation|false_computation)=%?([\w.\-]+)")
_BRANCHES = re.compile(r"branch_computations=\{([^}]*)\}")
_LOOP = re.compile(r"(?P<what>body|condition)=%?(?P<name>[\w.\-]+)")
_KNOWN_TRIPS = re.compile(r'"known_trip_count":\{"n":"(\d+)"')
# They name or regroup buffers, or wait for what another began; those that run others are followed.
_FREE = {"parameter", "constant", "tuple", "get-tuple-element", "bitcast", "after-all", "opt-barrier"}
_FREE |= {"copy-done", "slice-done", "async-done", "partition-id", "replica-id"}
_FOLLOWED = {"while", "conditional", "call"}
# Custom calls of a TPU's compiler that name or join buffers.
_FREE_CALLS = re.compile(r'custom_call_target="(AllocateBuffer|ConcatBitcast)"')
# What ends a turn of ``scf.while`` in the module of a kernel that a program brings along: for a GPU its text
# has the names of the operations, for a TPU its bytes in base 64.
_KERNEL = re.compile(r'custom_call_target="(__gpu\$xla.gpu.triton|tpu_custom_call)"')
_BODY = re.compile(r'"body":"([^"]*)"')
_OPEN_LOOP = re.compile(r"(?:scf\.|\\00|\0)condition(?:\\00|\0)")


class Instruction(NamedTuple):
    """An instruction of HLO."""

    name: str
    shape: str  # of its result, layout included
    opcode: str
    operands: tuple[str, ...]  # names
    arguments: str  # as they are written: a constant's value
    attributes: str
    root: bool  # whether its computation gives its result


@dataclass(frozen=True)
class Program:
    """The computations of an HLO module."""

    computations: dict[str, dict[str, Instruction]]  # by name, instructions by name in their order
    entry: str


class Launch(NamedTuple):
    """An instruction that runs as a kernel of its own."""

    instruction: Instruction
    computation: str
    times: int  # how often the loops around it turn; 0: it is never run


class Launches(NamedTuple):
    """All kernels of a run."""

    kernels: list[Launch]
    open_loops: int  # loops that turn a number of times that the text does not tell, counted as once


def parse(text: str) -> Program:
    """Reads optimized HLO, as ``compiled.as_text()`` gives it."""
    computations: dict[str, dict[str, Instruction]] = {}
    entry, name = "", ""
    for line in text.splitlines():
        if found := _COMPUTATION.match(line):
            name = found["name"]
            computations[name] = {}
            entry = name if found["entry"] else entry
        elif found := _INSTRUCTION.match(line):
            rest = re.sub(r"/\*.*?\*/", "", found["rest"])
            if opcode := _OPCODE.search(rest):
                end = _closing(rest, opcode.end())
                arguments = rest[opcode.end() : end]
                computations[name][found["name"]] = Instruction(
                    name=found["name"],
                    shape=rest[: opcode.start("opcode")].strip(),
                    opcode=opcode["opcode"],
                    operands=tuple(re.findall(r"%([\w.\-]+)", arguments)),
                    arguments=arguments,
                    attributes=rest[end + 1 :],
                    root=bool(found["root"]),
                )
    return Program(computations, entry)


def _closing(text: str, start: int) -> int:
    """Where the parenthesis closes that was opened just before ``start``."""
    depth = 1
    for i in range(start, len(text)):
        depth += (text[i] == "(") - (text[i] == ")")
        if not depth:
            return i
    return len(text)


def launches(program: Program) -> Launches:
    """The kernels of the entry computation, and of the loops, branches and calls below it.

    Of the branches of a conditional the one with the most launches counts.
    """
    return _launches(program, program.entry, 1)


def _launches(program: Program, name: str, times: int) -> Launches:
    kernels: list[Launch] = []
    open_loops = 0
    for instruction in program.computations[name].values():
        if instruction.opcode not in _FOLLOWED:
            free = instruction.opcode in _FREE or _FREE_CALLS.search(instruction.attributes)
            if not free:
                kernels.append(Launch(instruction, name, times))
            continue
        if instruction.opcode == "while":
            trips = _trips(program, name, instruction)
            open_loops += trips is None
            called = _loop(instruction)
            # Of a loop whose turns are known the condition is not asked for.
            parts = [
                _launches(program, called["body"], times * (1 if trips is None else trips)),
                _launches(program, called["condition"], times if trips is None else 0),
            ]
        else:
            branches = _CALLED.findall(instruction.attributes)
            branches += [
                part.strip(" %")
                for group in _BRANCHES.findall(instruction.attributes)
                for part in group.split(",")
            ]
            every = [_launches(program, branch, times) for branch in branches]
            parts = [max(every, key=lambda branch: sum(kernel.times for kernel in branch.kernels))]
        kernels += [kernel for part in parts for kernel in part.kernels]
        open_loops += sum(part.open_loops for part in parts)
    return Launches(kernels, open_loops)


def brought_along(instruction: Instruction) -> bool:
    """Whether an instruction runs a kernel that the program brings along, written by hand."""
    return _KERNEL.search(instruction.attributes) is not None


def turns_by_data(instruction: Instruction) -> bool:
    """Whether a kernel that is brought along has a loop that turns as often as the data ask for."""
    body = _BODY.search(instruction.attributes)
    told = base64.b64decode(body[1]).decode("latin-1") if body else instruction.attributes
    return brought_along(instruction) and _OPEN_LOOP.search(told) is not None


def _loop(instruction: Instruction) -> dict[str, str]:
    """The computations of a loop: its ``body`` and its ``condition``."""
    return {found["what"]: found["name"] for found in _LOOP.finditer(instruction.attributes)}


def _trips(program: Program, name: str, loop: Instruction) -> int | None:
    """How often a loop turns: as the compiler notes, or by a condition on its count alone; None: neither."""
    if known := _KNOWN_TRIPS.search(loop.attributes):
        return int(known[1])
    condition = program.computations[_loop(loop)["condition"]]
    compare = next(one for one in condition.values() if one.root)
    if compare.opcode != "compare" or "direction=LT" not in compare.attributes:
        return None
    count, end = (condition[operand] for operand in compare.operands)
    index = re.search(r"index=(\d+)", count.attributes)
    if end.opcode != "constant" or count.opcode != "get-tuple-element" or not index:
        return None
    around = program.computations[name]
    begin = around[around[loop.operands[0]].operands[int(index[1])]]
    while begin.opcode in ("copy", "bitcast"):
        begin = around[begin.operands[0]]
    return int(end.arguments) - int(begin.arguments) if begin.opcode == "constant" else None


def count_kernels(text: str) -> int:
    """Instructions that run as kernels of their own, each counted once however often its loop turns.

    Args:
      text: optimized HLO, as ``compiled.as_text()`` gives it.

    Returns:
      Instructions of the entry computation, and of the loops, branches and calls below it, that do work.
    """
    kernels = launches(parse(text)).kernels
    return len({(kernel.computation, kernel.instruction.name) for kernel in kernels})
