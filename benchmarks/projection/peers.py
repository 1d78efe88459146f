"""Other solvers of quadratic programs at work on the same problems.

CLARABEL, OSQP and cvxpy take one program after the other on one core, their matrices converted beforehand.
cvxpylayers takes a small batch, a thread a core. qpax, like ours, takes a compiled batch, on a CPU on one
device, elsewhere spread over all. What is not installed is left out.
"""

from __future__ import annotations

import importlib
import importlib.util
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from benchmarks.harness import record
from benchmarks.power_flow.lanes import Lanes
from benchmarks.projection.problems import Known, Programs

# Tolerance of OSQP, by default 1e-3, and its iterations at most.
OSQP = {"eps_abs": 1e-8, "eps_rel": 1e-8, "max_iter": 100_000, "verbose": False}
# qpax keeps slacks and duals above 1.5e-8: tighter than this, it seldom says that it converged.
QPAX = {"solver_tol": 1e-6, "max_iter": 30}
# By default 1e-3, at which gradients are of another program, 60 % off.
QPAX_SMOOTHING = 1e-8
# The largest n that cvxpylayers is given: a batch of larger ones takes seconds.
CVXPYLAYERS_N = 6


class Looped:
    """A solver at work outside of ``jax.jit``, on a few programs."""

    def __init__(self, solve_all: Callable[[], Any], batch: int, seconds: float, **settings: Any):
        """Keeps what to measure.

        Args:
          solve_all: solves all programs: x, (batch, n), (batch,) which are solutions, perhaps the gradient.
          batch: programs.
          seconds: length of one measurement.
          **settings: what a record should say of the solver.
        """
        self.answers, self.batch, self.seconds = solve_all, batch, seconds
        self.about = {"threads": 1, **settings}

    def solves_per_s(self) -> float:
        """Solves all programs over and over until the time is up."""
        start, solved = time.perf_counter(), 0
        while True:
            self.answers()
            solved += self.batch
            if (elapsed := time.perf_counter() - start) >= self.seconds:
                return solved / elapsed


def one_by_one(solve_one: Callable[[int], tuple[np.ndarray, bool]], batch: int) -> Callable[[], Any]:
    """A function that solves one program after the other, by ``solve_one`` of its number."""

    def solve_all() -> Any:
        x, solved = zip(*(solve_one(i) for i in range(batch)), strict=True)
        return np.stack(x), np.array(solved)

    return solve_all


class Batched:
    """A solver that takes a batch at once, ours or another one made with JAX."""

    def __init__(
        self,
        call: Callable[..., Any],
        data: Any,
        mesh: Mesh,
        seconds: float,
        *,
        check_vma: bool = True,
        **settings: Any,
    ):
        """Compiles ``call``, a function of a batch that gives x, flags and perhaps the gradient."""
        self.lanes = Lanes(call, data, mesh, seconds, check_vma=check_vma)
        self.batch, self.about = self.lanes.batch, {**self.lanes.to_dict(), **settings}

    def solves_per_s(self) -> float:
        """Solves the whole batch some times over."""
        return self.lanes.solves_per_s()

    def answers(self) -> Any:
        """Gives x, (batch, n), (batch,) which are solutions, and the gradient if there is one."""
        return jax.device_get(self.lanes.program.call(*self.lanes.inputs))


Solver = Looped | Batched


def clarabel(programs: Programs, seconds: float) -> Looped:
    """CLARABEL, through its own interface, at its own tolerances."""
    import clarabel
    from scipy import sparse

    settings = clarabel.DefaultSettings()
    settings.verbose = False
    cones = [clarabel.ZeroConeT(programs.b.shape[1]), clarabel.NonnegativeConeT(programs.h.shape[1])]
    cones = cones if programs.b.shape[1] else cones[1:]
    P = [sparse.csc_matrix(np.triu(matrix)) for matrix in programs.P]
    rows = [sparse.csc_matrix(np.vstack(pair)) for pair in zip(programs.A, programs.G, strict=True)]
    bounds = np.concatenate([programs.b, programs.h], 1)

    def solve_one(i: int) -> tuple[np.ndarray, bool]:
        solver = clarabel.DefaultSolver(P[i], programs.q[i], rows[i], bounds[i], cones, settings)
        found = solver.solve()
        return np.array(found.x), found.status == clarabel.SolverStatus.Solved

    return Looped(one_by_one(solve_one, len(P)), len(P), seconds, tol=1e-8)


def osqp(programs: Programs, seconds: float) -> Looped:
    """OSQP, set up anew for every program since the matrices differ."""
    import osqp
    from scipy import sparse

    P = [sparse.csc_matrix(np.triu(matrix)) for matrix in programs.P]
    rows = [sparse.csc_matrix(np.vstack(pair)) for pair in zip(programs.A, programs.G, strict=True)]
    low = np.concatenate([programs.b, np.full_like(programs.h, -np.inf)], 1)
    high = np.concatenate([programs.b, programs.h], 1)
    # Where no constraint binds, polishing has nothing to do but print a line, however quiet it is to be.
    free = np.linalg.solve(programs.P, -programs.q[..., None])[..., 0]
    polishing = bool((programs.violation(free) > 0).all())

    def solve_one(i: int) -> tuple[np.ndarray, bool]:
        solver = osqp.OSQP()
        solver.setup(P=P[i], q=programs.q[i], A=rows[i], l=low[i], u=high[i], polishing=polishing, **OSQP)
        found = solver.solve(raise_error=False)
        return np.array(found.x), found.info.status_val == osqp.SolverStatus.OSQP_SOLVED

    return Looped(one_by_one(solve_one, len(P)), len(P), seconds, tol=OSQP["eps_abs"], polishing=polishing)


def _parametrised(programs: Programs) -> tuple[Any, Any, list[Any], list[np.ndarray]]:
    """One cvxpy problem for all programs: it, its variable, its parameters and their values, batch first."""
    cp = importlib.import_module("cvxpy")
    values = [np.linalg.cholesky(programs.P), *programs[1:]]
    # Without equalities their parameters are left out: cvxpy has no empty ones.
    values = values if programs.b.shape[1] else values[:2] + values[4:]
    parameters = [cp.Parameter(value.shape[1:]) for value in values]
    root, q, *equalities, G, h = parameters
    x = cp.Variable(programs.q.shape[1])
    # P itself as a parameter would make the problem anew for every value.
    constraints = [G @ x <= h] + ([equalities[0] @ x == equalities[1]] if equalities else [])
    return cp.Problem(cp.Minimize(cp.sum_squares(root.T @ x) / 2 + q @ x), constraints), x, parameters, values


def cvxpy(programs: Programs, seconds: float) -> Looped:
    """CLARABEL by way of cvxpy, made once with parameters in place of all numbers."""
    cp = importlib.import_module("cvxpy")
    problem, x, parameters, values = _parametrised(programs)

    def solve_one(i: int) -> tuple[np.ndarray, bool]:
        for parameter, value in zip(parameters, values, strict=True):
            parameter.value = value[i]
        problem.solve(solver=cp.CLARABEL)
        solved = problem.status == cp.OPTIMAL
        return np.array(x.value if solved else np.zeros(x.shape)), solved

    batch = len(programs.q)
    return Looped(one_by_one(solve_one, batch), batch, seconds, tol=1e-8)


def cvxpylayers(programs: Programs, seconds: float) -> Looped:
    """The layer of cvxpylayers for JAX, with its gradient."""
    layers = importlib.import_module("cvxpylayers.jax")
    problem, x, parameters, values = _parametrised(programs)
    layer = layers.CvxpyLayer(problem, parameters=parameters, variables=[x])
    given = [jnp.asarray(value) for value in values]

    def total(q: jax.Array, h: jax.Array) -> Any:
        (x,) = layer(given[0], q, *given[2:-1], h)
        return x.sum(), x

    def solve_all() -> Any:
        (_, x), gradient = jax.value_and_grad(total, (0, 1), has_aux=True)(given[1], given[-1])
        x, gradient = jax.device_get((x, gradient))
        return x, np.isfinite(x).all(1), gradient

    return Looped(solve_all, len(programs.q), seconds, threads=record.num_cores())


def qpax(programs: Programs, mesh: Mesh, seconds: float, *, gradient: bool) -> Batched:
    """The package qpax, vmapped and compiled as ours is."""
    package = importlib.import_module("qpax")

    def forward(*data: jax.Array) -> Any:
        x, _, _, _, converged, _ = package.solve_qp(*data, **QPAX)
        return x, converged > 0

    def with_gradient(
        P: jax.Array, q: jax.Array, A: jax.Array, b: jax.Array, G: jax.Array, h: jax.Array
    ) -> Any:
        def total(q: jax.Array, h: jax.Array) -> Any:
            x = package.solve_qp_primal(P, q, A, b, G, h, target_kappa=QPAX_SMOOTHING, **QPAX)
            return x.sum(), x

        (_, x), by_data = jax.value_and_grad(total, (0, 1), has_aux=True)(q, h)
        return x, jnp.isfinite(x).all(), by_data

    # Spread over two CPU devices its first call hangs at n = 60 (jax 0.10.2); on one it ends.
    if mesh.devices.flat[0].platform == "cpu":
        mesh = Mesh(mesh.devices[:1], mesh.axis_names)
    settings: dict[str, Any] = {"tol": QPAX["solver_tol"], "devices": mesh.size} | (
        {"smoothing": QPAX_SMOOTHING} if gradient else {}
    )
    call = jax.vmap(with_gradient if gradient else forward)
    # The loops of qpax 0.1 begin with constants, which the checks of shard_map refuse.
    return Batched(call, programs, mesh, seconds, check_vma=False, **settings)


def missing() -> list[str]:
    """Packages of peers that are not installed."""
    names = ("clarabel", "osqp", "cvxpy", "qpax", "cvxpylayers")
    return [name for name in names if importlib.util.find_spec(name) is None]


def peers(known: Known, few: int, mesh: Mesh, seconds: float) -> dict[tuple[str, str], Solver]:
    """All peers that are installed, by name and what they do.

    Args:
      known: programs in float64.
      few: as many of them are given to solvers that take one after the other.
      mesh: devices of those that take a batch.
      seconds: length of one measurement.
    """
    absent, programs, chosen = missing(), known.programs, known.first(few).programs
    loops: dict[str, Callable[[Programs, float], Solver]] = {
        "clarabel": clarabel,
        "osqp": osqp,
        "cvxpy": cvxpy,
    }
    found: dict[tuple[str, str], Solver] = {
        (name, "forward"): make(chosen, seconds) for name, make in loops.items() if name not in absent
    }
    if "qpax" not in absent:
        found["qpax", "forward"] = qpax(programs, mesh, seconds, gradient=False)
        if known.gradient is not None:
            found["qpax", "with gradient"] = qpax(programs, mesh, seconds, gradient=True)
    if "cvxpylayers" not in absent and known.gradient is not None and programs.q.shape[1] <= CVXPYLAYERS_N:
        found["cvxpylayers", "with gradient"] = cvxpylayers(chosen, seconds)
    return found
