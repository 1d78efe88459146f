"""The page in a browser: what it shows is what the rollout says, and its controls do what they promise."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess

import numpy as np
import pytest

from anmjax.render import page
from tests.render.samples import grid, rollout
from tests.render.test_page import HOSTILE

BROWSER = shutil.which("chromium") or shutil.which("google-chrome")
STEPS = 30
MOMENTS = np.random.default_rng(5).integers(0, STEPS - 1, 20).tolist()  # before the collapse

NOTE_ERRORS = (
    '<script>var failures = []; addEventListener("error", (e) => failures.push(e.message));</script>'
)
DRIVER = """
<script>
const seen = { moments: [] };
const press = (key) => document.body.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true }));
const text = (id) => document.getElementById(id).textContent;
const select = (kind, k) => document.querySelector(`.element[data-kind=${kind}][data-k="${k}"]`);
const tip = (kind, k) => {
  const target = select(kind, k).lastElementChild;
  target.dispatchEvent(new PointerEvent("pointermove", { bubbles: true, clientX: 9, clientY: 9 }));
  return text("tip");
};
for (const t of MOMENTS) {
  const slider = document.getElementById("time");
  slider.value = t;
  slider.dispatchEvent(new Event("input"));
  const k = t % 10;
  seen.moments.push({ t, k, clock: text("clock"), bus: tip("bus", k), branch: tip("branch", k),
    device: tip("device", k), panels: [...document.querySelectorAll(".panel")].map((p) => p.textContent) });
}
press("Home"); seen.home = text("clock");
press("ArrowRight"); seen.next = text("clock");
press("End"); seen.end = document.querySelector(".summary").textContent;
press(" "); seen.playing = text("play");
press(" "); seen.paused = text("play");
select("bus", 3).dispatchEvent(new MouseEvent("click", { bubbles: true }));
const titles = [...document.querySelectorAll(".chart b")].map((b) => b.textContent);
seen.pinned = titles.filter((title) => title.startsWith("bus 3,")).length;
const before = view.w;
press("+"); seen.zoomed = view.w < before;
press("Escape"); seen.unpinned = document.querySelectorAll(".pinned").length;
seen.names = [...document.querySelectorAll("h2")].map((h) => h.textContent);
seen.loaded = performance.getEntriesByType("resource").map((entry) => entry.name);
seen.failures = failures;
const probe = document.createElement("pre");
probe.id = "probe";
probe.textContent = JSON.stringify(seen);
document.body.append(probe);
</script>
</body>"""


@pytest.mark.slow
@pytest.mark.skipif(BROWSER is None, reason="needs Chromium")
def test_the_screen_shows_the_rollout_and_obeys(tmp_path):
    net = grid(33, ties=2)
    rollouts = {"first": rollout(net, steps=STEPS, seed=1), HOSTILE: rollout(net, steps=STEPS, seed=2)}
    driver = DRIVER.replace("MOMENTS", json.dumps(MOMENTS))
    text = page(rollouts, title="test").replace("<head>", f"<head>{NOTE_ERRORS}")
    file = tmp_path / "page.html"
    file.write_text(driver.join(text.rsplit("</body>", 1)), encoding="utf-8")
    command = [BROWSER, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'user'}"]
    command += ["--dump-dom", file.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    found = re.search(r'<pre id="probe">(.*?)</pre>', done.stdout, re.DOTALL)
    assert found, done.stderr[-2000:]
    seen = json.loads(html.unescape(found[1]))

    assert seen["failures"] == []
    assert seen["loaded"] == []
    assert seen["names"] == ["first", HOSTILE]
    first = rollouts["first"].series
    for shown in seen["moments"]:
        t, k = shown["t"], shown["k"]
        hours = 6 + (t + 1) * 0.25
        assert shown["clock"] == f"day 1, {int(hours):02d}:{round(60 * (hours % 1)):02d}"

        def number(pattern, where, shown=shown):
            return float(re.search(pattern, shown[where])[1].replace("\N{MINUS SIGN}", "-"))

        # Shown to four digits or more, the numbers at hand being of size 1 at most.
        assert number(r"\|V\|  (\S+) p\.u\.", "bus") == pytest.approx(first.vm[t, k], abs=1e-4)
        assert number(r"loading (\S+) %", "branch") == pytest.approx(100 * first.s_mva[t, k] / 1.5, abs=0.06)
        assert number(r"P  (\S+) MW", "device") == pytest.approx(first.p_mw[t, k], abs=1e-4)
        for panel, replay in zip(shown["panels"], rollouts.values(), strict=True):
            cost = (replay.series.e_loss + replay.series.penalty)[: t + 1].sum()
            assert float(re.search(r"cost so far ([\d.]+) p\.u\.h", panel)[1]) == pytest.approx(
                cost, rel=1e-3
            )
    assert (seen["home"], seen["next"]) == ("day 1, 06:15", "day 1, 06:30")
    assert seen["end"] == "the network has collapsed"
    assert (seen["playing"], seen["paused"]) == ("pause", "play")
    assert seen["pinned"] == 2  # a chart in each panel
    assert seen["unpinned"] == 0
    assert seen["zoomed"]
