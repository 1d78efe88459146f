"""How long does it take to make a page, how large is it, and how many frames a second does a browser draw?

Pages of 1,000 steps of doing nothing, on tasks and on a tree of 1,000 buses with loads. In headless Chromium
without a GPU, 1,500 by 1,000 pixels, the page goes on by a step at every frame that the browser grants, at
most 60 a second, for some seconds. Without Chromium no frames are counted.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import tempfile
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import jax
import numpy as np

import anmjax
from anmjax.agents.baselines import do_nothing_policy
from anmjax.agents.evaluation import starts_of
from anmjax.agents.replay import Replay, Series, replay
from anmjax.powerflow.quantities import branch_quantities
from anmjax.render.web_page import CONTENT_POLICY, page
from benchmarks.harness import command_line, record

TASKS = ("ANM6Easy-v0", "IEEE33Easy-v0", "LVFeeder-v0")
NUM_BUSES = 1000  # of the tree
BROWSER = shutil.which("chromium") or shutil.which("google-chrome")
PATIENCE = 120.0  # s until a browser that has not answered is given up
DRIVER = """
<script>
addEventListener("load", () => {
  let frames = 0, begun = null, busy = 0;
  document.body.classList.add("moving"); // as while it plays
  const next = (now) => {
    begun ??= now;
    if (now - begun >= 1000 * SECONDS) {
      const found = { frames_per_s: (1000 * frames) / (now - begun), ms_a_frame: busy / frames };
      fetch("done", { method: "POST", body: JSON.stringify(found) });
      return;
    }
    const before = performance.now();
    seek((state.t + 1) % T);
    busy += performance.now() - before;
    frames += 1;
    requestAnimationFrame(next);
  };
  requestAnimationFrame(next);
});
</script>
</body>"""


def parse() -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.page.frames", description=__doc__)
    parser.add_argument("--steps", type=int, default=1000, help="of a replay")
    parser.add_argument("--seconds", type=float, default=5.0, help="how long frames are counted")
    command_line.add_record(parser)
    options = parser.parse_args()
    options.tasks = TASKS
    if options.smoke:
        options.tasks, options.steps, options.seconds = TASKS[:1], 4, 0.2
    return options


def nothing_done(task: str, steps: int) -> Replay:
    """Steps of doing nothing from the first start of a task."""
    env: Any = anmjax.make(task)
    starts, _ = starts_of(env, jax.random.key(0), num_starts=1)
    return replay(env, do_nothing_policy(env), jax.tree.map(lambda x: x[0], starts), steps=steps)


def feeder(num_buses: int, steps: int) -> Replay:
    """A 20 kV tree with a load at every second bus that follows the hours, solved at every step."""
    rng = np.random.default_rng(0)
    parents = [int(rng.integers(max(0, k - 12), k)) for k in range(1, num_buses)]
    size = 1e-3 * rng.lognormal(sigma=0.6, size=num_buses) * (np.arange(num_buses) % 2)  # p.u., at its most
    below = size.copy()  # with all that is behind a bus
    for k in range(num_buses - 1, 0, -1):
        below[parents[k - 1]] += below[k]
    buses = [[0, 0, 20.0, 1.1, 0.9], *([k, 1, 20.0, 1.05, 0.95] for k in range(1, num_buses))]
    # The fuller a branch may be, the thicker it is.
    ratings = np.maximum(0.9 * below[1:], 2e-3)
    branches = [
        [a, k, 5.5e-4 / rating**0.7, 5.5e-4 / rating**0.7, 0, 10 * rating, 1, 0]
        for k, (a, rating) in enumerate(zip(parents, ratings.tolist(), strict=True), 1)
    ]
    loads = [[k, k, -1, 0.2, 0, -10 * size[k], *[None] * 9] for k in range(1, num_buses, 2)]
    devices = [[0, 0, 0, *[None] * 12], *loads]
    names = ("bus", "device", "branch")
    tables = (np.array(rows, object) for rows in (buses, devices, branches))
    net = anmjax.Network.from_dict({"baseMVA": 10, **dict(zip(names, tables, strict=True))})
    hours = 0.25 * np.arange(steps)[:, None]
    shape = 0.55 + 0.3 * np.sin(2 * np.pi * (hours - 13) / 24) + 0.1 * rng.normal(size=(steps, num_buses))
    p = -size * np.clip(shape, 0.1, 1)

    @jax.jit
    @jax.vmap
    def solved(p: jax.Array) -> tuple[jax.Array, Any]:
        v = anmjax.power_flow(net, p, 0.2 * p).v
        return v, branch_quantities(net, v)

    v, flows = jax.device_get(solved(p))
    s_mva = np.maximum(flows.s_from_mva, flows.s_to_mva)
    outside = np.maximum(0.95 - np.abs(v), 0)[:, 1:].sum(1) + np.maximum(s_mva / 10 - ratings, 0).sum(1)
    own, first = np.array(net.device_bus[1:]), np.flatnonzero(np.array(parents) == 0)
    p_mw, q_mvar = (
        np.concatenate([from_slack[:, first].sum(1)[:, None], 10 * share * p[:, own]], axis=1)
        for from_slack, share in ((flows.p_from_mw, 1), (flows.q_from_mvar, 0.2))
    )
    none = np.zeros((steps, 0))
    lost = 0.25 * p_mw.sum(1) / 10
    penalty = 25 * outside
    series = Series(
        vm=np.abs(v),
        va_deg=np.rad2deg(np.angle(v)),
        p_mw=p_mw,
        q_mvar=q_mvar,
        potential_mw=none,
        soc_mwh=none,
        p_from_mw=flows.p_from_mw,
        q_from_mvar=flows.q_from_mvar,
        s_mva=s_mva,
        asked_mw=none,
        asked_mvar=none,
        e_loss=lost,
        penalty=penalty,
        reward=-lost - penalty,
        terminated=np.zeros(steps, bool),
    )
    return Replay(net, 0.25, 0.0, series)


def frames_of(text: str, seconds: float) -> dict[str, float]:
    """What a browser counts on a page; nothing without a browser.

    Raises:
      TimeoutError: the browser has not answered.
    """
    if BROWSER is None:
        return {}
    text = text.replace(CONTENT_POLICY, f"{CONTENT_POLICY}; connect-src 'self'")
    text = DRIVER.replace("SECONDS", str(seconds)).join(text.rsplit("</body>", 1))
    told: list[dict[str, float]] = []
    answered = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.answer(text.encode() if self.path == "/" else b"")

        def do_POST(self) -> None:
            told.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.answer(b"")
            answered.set()

        def answer(self, body: bytes) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *arguments: Any) -> None:
            """Nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as user:
        command = [BROWSER, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={user}"]
        command += ["--window-size=1500,1000", f"http://127.0.0.1:{server.server_address[1]}/"]
        # With a port to listen on it stays until it is ended.
        command.insert(1, "--remote-debugging-port=0")
        browser = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            if not answered.wait(PATIENCE):
                raise TimeoutError(f"the browser has not answered for {PATIENCE:g} s")
        finally:
            browser.terminate()
            browser.wait()
            server.shutdown()
    return told[0]


def main() -> None:
    """Runs the benchmark."""
    options = parse()
    rows: list[dict[str, Any]] = []
    # One after the other, so that no rollout runs beside a browser.
    made = [(task, nothing_done(task, options.steps)) for task in options.tasks]
    if not options.smoke:
        made.append((f"tree of {NUM_BUSES:,} buses", feeder(NUM_BUSES, options.steps)))
    for name, rollout in made:
        begun = time.perf_counter()
        text = page({"do-nothing": rollout}, title=name)
        seconds = time.perf_counter() - begun
        row = {"grid": name, "num_buses": rollout.network.n_bus, "steps": options.steps}
        row |= {"making_s": seconds, "bytes": len(text.encode()), **frames_of(text, options.seconds)}
        print(row, flush=True)
        rows.append(row)
    if options.out or not options.smoke:
        record.write(record.make("page.frames", rows, browser=_version()), options.out)


def _version() -> str | None:
    """What the browser calls itself."""
    if BROWSER is None:
        return None
    return subprocess.run([BROWSER, "--version"], capture_output=True, text=True).stdout.strip()


if __name__ == "__main__":
    main()
