"""Counts what a compiled XLA program launches, from its optimized text."""

from __future__ import annotations

import re

_COMPUTATION = re.compile(r"^(?P<entry>ENTRY )?%?(?P<name>[\w.\-]+) \(.*\{$")
_INSTRUCTION = re.compile(r"^\s+(?:ROOT )?%?[\w.\-]+ = (?P<rest>.*)$")
_OPCODE = re.compile(r"(?:^|[\s)}\]])(?P<opcode>[a-z][a-z\-]*)\(")
_CALLED = re.compile(r"(?:body|condition|to_apply|true_computation|false_computation)=%?([\w.\-]+)")
_BRANCHES = re.compile(r"branch_computations=\{([^}]*)\}")
# They name or regroup buffers; those that run others are followed.
_FREE = {"parameter", "constant", "tuple", "get-tuple-element", "bitcast", "after-all", "opt-barrier"}
_FOLLOWED = {"while", "conditional", "call"}


def count_kernels(text: str) -> int:
    """Instructions that run as kernels of their own, each counted once however often its loop turns.

    Args:
      text: optimized HLO, as ``compiled.as_text()`` gives it.

    Returns:
      Instructions of the entry computation, and of the loops, branches and calls below it, that do work.
    """
    bodies: dict[str, list[str]] = {}
    entry, name = "", ""
    for line in text.splitlines():
        if found := _COMPUTATION.match(line):
            name = found["name"]
            bodies[name] = []
            entry = name if found["entry"] else entry
        elif found := _INSTRUCTION.match(line):
            bodies[name].append(found["rest"])
    count, waiting, seen = 0, [entry], {entry}
    while waiting:
        for rest in bodies[waiting.pop()]:
            found = _OPCODE.search(rest)
            opcode = found["opcode"] if found else ""
            count += opcode not in _FREE | _FOLLOWED
            if opcode in _FOLLOWED:
                called = _CALLED.findall(rest)
                called += [part.strip(" %") for group in _BRANCHES.findall(rest) for part in group.split(",")]
                waiting += [one for one in called if one not in seen]
                seen.update(called)
    return count
