"""MATPOWER's names of columns: what its functions ``idx_bus``, ``idx_brch`` and so on return, from 1.

Reference: R. D. Zimmerman and C. E. Murillo-Sanchez, MATPOWER User's Manual, Appendix B.
"""

from __future__ import annotations

COLUMN_FUNCTIONS = {
    "idx_bus": (
        "PQ PV REF NONE BUS_I BUS_TYPE PD QD GS BS BUS_AREA VM VA BASE_KV ZONE VMAX VMIN LAM_P LAM_Q "
        "MU_VMAX MU_VMIN",
        (1, 2, 3, 4, *range(1, 18)),
    ),
    "idx_brch": (
        "F_BUS T_BUS BR_R BR_X BR_B RATE_A RATE_B RATE_C TAP SHIFT BR_STATUS PF QF PT QT MU_SF MU_ST "
        "ANGMIN ANGMAX MU_ANGMIN MU_ANGMAX",
        (*range(1, 12), *range(14, 20), 12, 13, 20, 21),
    ),
    "idx_gen": (
        "GEN_BUS PG QG QMAX QMIN VG MBASE GEN_STATUS PMAX PMIN MU_PMAX MU_PMIN MU_QMAX MU_QMIN PC1 PC2 "
        "QC1MIN QC1MAX QC2MIN QC2MAX RAMP_AGC RAMP_10 RAMP_30 RAMP_Q APF",
        (*range(1, 11), *range(22, 26), *range(11, 22)),
    ),
    "idx_cost": ("PW_LINEAR POLYNOMIAL MODEL STARTUP SHUTDOWN NCOST COST", (1, 2, 1, 2, 3, 4, 5)),
}
# idx_dcline returns a struct.
_DCLINE = (
    "F_BUS T_BUS BR_STATUS PF PT QF QT VF VT PMIN PMAX QMINF QMAXF QMINT QMAXT LOSS0 LOSS1 MU_PMIN MU_PMAX "
    "MU_QMINF MU_QMAXF MU_QMINT MU_QMAXT"
)
DCLINE_COLUMNS = tuple(_DCLINE.split())
