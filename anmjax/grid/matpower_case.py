"""Reads MATPOWER case files (.m, format versions 1 and 2) without executing them.

The file's statements go through a reader of the part of MATLAB that such files use (``anmjax.grid.matlab``):
tables, the unit conversions at the end of MATPOWER's distribution cases, conditions and loops. What it
cannot carry out is refused, for a statement that is skipped would change the case.

Reference: R. D. Zimmerman and C. E. Murillo-Sanchez, MATPOWER User's Manual, Appendix B; MATPOWER's
``loadcase`` for how the outputs of a file become a case.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from anmjax.grid import matlab
from anmjax.grid.cases import CaseError
from anmjax.grid.faults import Fault, NetworkError
from anmjax.grid.power_tables.case_devices import devices_of_tables, with_devices_of_case
from anmjax.grid.power_tables.fields import PowerTables, network_fields

# Fields that a power flow does not depend on: costs, names, areas, and data of other studies.
_NOT_READ = {"version", "gencost", "areas", "bus_name", "branch_name", "gen_name", "gentype", "genfuel"}
_NOT_READ |= {"reserves", "softlims", "dclinecost", "A", "l", "u", "N", "fparm", "H", "Cw", "zl", "zu", "z0"}
_NOT_READ |= {"if", "success", "et", "f", "order"}
_READ = ("baseMVA", "bus", "gen", "branch", "dcline")
# Data of MATPOWER's extensions, PowerModels and MatACDC with which the grid is another one.
_CHANGING = {"userfcn", "storage", "switch", "busdc", "branchdc", "convdc"}
_CHANGING |= {"bus3p", "line3p", "xfmr3p", "shunt3p", "load3p", "gen3p", "buslink"}
_VERSION_1 = ("baseMVA", "bus", "gen", "branch", "areas", "gencost")  # outputs by their places


class IgnoredFieldWarning(UserWarning):
    """Warns that fields of a case were ignored, since no power flow is known to depend on them.

    Attributes:
      fields: names of the fields, in their order in the case.
    """

    def __init__(self, fields: Sequence[str], origin: str) -> None:
        self.fields, self.origin = tuple(fields), origin
        listed = ", ".join(f"mpc.{name}" for name in self.fields[:20])
        more = f" and {len(self.fields) - 20} more" if len(self.fields) > 20 else ""
        super().__init__(f"{origin}: fields that are not known were ignored: {listed}{more}")

    def __reduce__(self) -> tuple[type[IgnoredFieldWarning], tuple[Any, ...]]:
        """Pickles by its parts."""
        return IgnoredFieldWarning, (self.fields, self.origin)


def read_matpower(path: str | os.PathLike[str], devices: bool = True) -> dict[str, Any]:
    """Reads a case file into the fields of a network, see ``Network.from_matpower``."""
    origin = f"the case {os.fspath(path)}"
    case = read_case(path, origin)
    faults = []
    for name, value in case.items():
        if name in _CHANGING and not _is_empty(value):
            allowed = "must be absent or empty: such elements of the grid are not represented"
            faults.append(Fault("network", f"mpc.{name}", _shape(value), allowed))
    required = {name: case.get(name) for name in ("baseMVA", "bus", "gen", "branch")}
    numbers = {
        n: v.astype(float) for n, v in required.items() if isinstance(v, np.ndarray) and v.dtype != object
    }
    for name, found in required.items():
        if found is None:
            faults.append(Fault("network", f"mpc.{name}", None, "is required"))
        elif name not in numbers:
            faults.append(Fault("network", f"mpc.{name}", _shape(found), "must be a table of numbers"))
    dcline = case.get("dcline")
    if dcline is not None and not _is_empty(dcline):
        if isinstance(dcline, np.ndarray) and dcline.dtype != object:
            numbers["dcline"] = dcline.astype(float)
        else:
            faults.append(Fault("network", "mpc.dcline", _shape(dcline), "must be a table of numbers"))
    if faults:
        raise NetworkError(faults, origin)
    base = numbers["baseMVA"]
    source = PowerTables(
        base_mva=float(base[0, 0]) if base.size == 1 else base,
        bus=numbers["bus"],
        gen=numbers["gen"],
        branch=numbers["branch"],
        branch_g=np.zeros(len(numbers["branch"])),
        dcline=numbers.get("dcline"),
    )
    try:
        with np.errstate(over="raise"):
            fields = network_fields(source, origin)
            np.divide(1.0, fields["base_mva"])
            for name in ("p", "q"):
                if not np.isfinite(fields[name]).all():  # sums of generators overflow without a word
                    raise FloatingPointError
    except FloatingPointError:
        allowed = "must be so large that powers divided by it, and their sums, are numbers"
        raise NetworkError([Fault("network", "baseMVA", source.base_mva, allowed)], origin) from None
    unknown = [name for name in case if name not in _CHANGING | _NOT_READ and name not in _READ]
    if unknown:
        # The caller of Network.from_matpower, above the classmethod.
        warnings.warn(IgnoredFieldWarning(unknown, origin), stacklevel=3)
    placed = list(devices_of_tables(source)) if devices else []
    return with_devices_of_case(fields, [one for one, _ in placed], [name for _, name in placed])


def read_case(path: str | os.PathLike[str], origin: str) -> Mapping[str, matlab.Value]:
    """Reads the fields of a case: tables of numbers are two-dimensional float64 arrays.

    Raises:
      CaseError: the file cannot be read as text.
      NetworkError: the file holds statements beyond those that are read, or gives no case.
    """
    outcome = matlab.run(_read_text(path), script_output="mpc")
    if outcome.complaints:
        allowed = "must be of the part of MATLAB that case files use"
        raise NetworkError(
            [
                Fault(
                    f"line {complaint.line}",
                    "statement",
                    complaint.statement,
                    f"{allowed}: {complaint.reason}",
                )
                for complaint in outcome.complaints
            ],
            origin,
        )
    first = outcome.values[0] if outcome.values else None
    if isinstance(first, Mapping):
        return first
    # As in loadcase: what is no struct are the tables of version 1, whatever their names in the file.
    values = zip(_VERSION_1, outcome.values, strict=False)
    return {name: value for name, value in values if value is not None}


def _read_text(path: str | os.PathLike[str]) -> str:
    """Reads UTF-8, or Latin-1 with accents in old comments: code itself is ASCII in both."""
    name = os.fspath(path)
    if Path(path).suffix != ".m":
        raise CaseError(f"{name}: must be a MATPOWER case file, ending in .m")
    try:
        with Path(path).open("rb") as file:
            data = file.read(matlab.MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        raise CaseError(f"{name}: cannot be read ({error})") from error
    if len(data) > matlab.MAX_BYTES:
        raise CaseError(f"{name}: has more than {matlab.MAX_BYTES} bytes, which are read at most")
    if b"\0" in data or data.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise CaseError(f"{name}: must be a text file in UTF-8 or Latin-1, without zero bytes as in UTF-16")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("latin-1")


def _is_empty(value: matlab.Value) -> bool:
    if isinstance(value, np.ndarray):
        return value.size == 0
    return isinstance(value, (str, Mapping)) and len(value) == 0


def _shape(value: matlab.Value) -> str:
    if isinstance(value, np.ndarray):
        return f"{'cells' if value.dtype == object else 'a table'} of shape {value.shape}"
    return "a string" if isinstance(value, str) else "a struct" if isinstance(value, Mapping) else "unknown"
