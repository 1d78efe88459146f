"""A small MATPOWER case that the tests of this folder start from."""

from __future__ import annotations

from pathlib import Path

CASE = """function mpc = case_small
%CASE_SMALL  Comments with 'quotes', [brackets] and 100 % signs.
%{
mpc.baseMVA = 1;
%}
mpc.version = '2';
mpc.baseMVA = 50;  % it's MVA
mpc.bus = [ % id type Pd Qd Gs Bs area Vm Va baseKV zone Vmax Vmin
\t40\t3\t5\t1\t0\t0\t1\t1\t-10\t110\t1\t1.1\t0.9;
\t7, 2, 10, 2, 1, -5, 1, 1, 0, 20, 1, 1.1, 0.9
\t12\t1\t20\t4\t0\t10\t1\t1\t0\t20\t1\t1.05\t.95;

\t9 2 2.5 0 0 0 1 1 0 20 1 1.1 0.9; 30 4 1 0.5 0 0 1 1 0 20 1 1.1 0.9;
\t31 1 3 1 0 0 1 1 0 20 1 1.1 0.9
];
mpc.gen = [
\t7\t10\t1\t9\t-9\t1.02\t100\t1\t30\t0;
\t7\t5\t2\t9\t-9\t1.02\t100\t1\t30\t0;
\t7\t99\t9\t9\t-9\t0.5\t100\t0\t30\t0;
\t9\t4\t1\t9\t-9\t1.04\t100\t0\t30\t0;
\t12\t1\t0.5\t9\t-9\t0.7\t100\t1\t30\t0;
\t40\t8\t3\t9\t-9\t1.01\t100\t1\t30\t0;
];
mpc.branch = [
\t40\t7\t0.01\t0.1\t0.02\t100\t0\t0\t0.98\t-30\t1\t-360\t360;
\t7\t12\t0.01\t0.1\t0\t0\t0\t0\t0\t0\t1\t-360\t360;
\t7\t12\t0.02\t-0.2\t0.01\tInf\t0\t0\t1\t0\t1\t-360\t360;
\t9\t12\t0.02\t0.2\t0.01\t25\t0\t0\t0\t0\t1\t-360\t360;
\t9\t40\t0.02\t0.2\t0.01\t25\t0\t0\t0\t0\t0\t-360\t360;
\t31\t40\t0.02\t0.2\t0.01\t25\t0\t0\t0\t0\t0\t-360\t360;
\t31\t30\t0.02\t0.2\t0.01\t25\t0\t0\t0\t0\t1\t-360\t360;
];
mpc.gencost = [2 0 0 3 0.01 40 0; 2 0 0 2 1 0 0];
mpc.bus_name = {
\t'forty; it''s [here';
\t'sev%en';
};
"""


def write(directory: Path, text: str) -> Path:
    path = directory / "case_small.m"
    path.write_text(text, encoding="utf-8")
    return path


def edit(old: str, new: str) -> str:
    assert CASE.count(old) == 1
    return CASE.replace(old, new)
