"""The page in a browser: what it shows is what the rollout says, and its controls do what they promise."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
from dataclasses import replace

import numpy as np
import pytest

from anmjax.agents.replay import Series
from anmjax.render import page
from anmjax.render.live import LivePage
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
seen.called = ["bus 5", "branch 0", "device 0", "device 1"].map((value) =>
  document.querySelector(`#element option[value="${value}"]`).textContent);
seen.names = [...document.querySelectorAll("h2")].map((h) => h.textContent);
seen.loaded = performance.getEntriesByType("resource").map((entry) => entry.name);
seen.failures = failures;
const probe = document.createElement("pre");
probe.id = "probe";
probe.textContent = JSON.stringify(seen);
document.body.append(probe);
</script>
</body>"""


def probed(address, tmp_path):
    """What the driver in a page has seen."""
    command = [BROWSER, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'user'}"]
    command += ["--virtual-time-budget=8000", "--dump-dom", address]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    found = re.search(r'<pre id="probe">(.*?)</pre>', done.stdout, re.DOTALL)
    assert found, done.stderr[-2000:]
    return json.loads(html.unescape(found[1]))


@pytest.mark.slow
@pytest.mark.skipif(BROWSER is None, reason="needs Chromium")
def test_the_screen_shows_the_rollout_and_obeys(tmp_path):
    net = grid(33, ties=2)
    # Names for the devices alone: elements are called by their numbers elsewhere.
    names = (HOSTILE, *(f"unit {k}" for k in range(1, net.n_device)))
    net = replace(net, device_names=names)
    rollouts = {"first": rollout(net, steps=STEPS, seed=1), HOSTILE: rollout(net, steps=STEPS, seed=2)}
    driver = DRIVER.replace("MOMENTS", json.dumps(MOMENTS))
    text = page(rollouts, title="test").replace("<head>", f"<head>{NOTE_ERRORS}")
    file = tmp_path / "page.html"
    file.write_text(driver.join(text.rsplit("</body>", 1)), encoding="utf-8")
    seen = probed(file.as_uri(), tmp_path)

    assert seen["failures"] == []
    assert seen["loaded"] == []
    assert seen["names"] == ["first", HOSTILE]
    branch = f"branch {net.bus_ids[net.from_bus[0]]} \N{EN DASH} {net.bus_ids[net.to_bus[0]]}"
    cut, unit = f"\u2068{HOSTILE[:39]}…\u2069 (outer grid)", "\u2068unit 1\u2069"
    assert seen["called"][:3] == ["bus 5", branch, cut]
    assert re.fullmatch(rf"{unit} \((load|renewable|storage)\)", seen["called"][3])
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


FOLLOWER = """
<script>
const seen = [];
const look = () => seen.push({ T, t: state.t, clock: byId("clock").textContent,
  live: byId("live").textContent, bus: describe.bus(POLICIES[0], 3, state.t)[1],
  title: byId("title").textContent, drawn: PANELS[0].charts.every((chart) => chart.plot),
  charted: PANELS[0].charts[0].data[1].filter((x) => x !== null).length });
setTimeout(look, 0);
setTimeout(() => { look(); seek(0); }, 1500);
setTimeout(() => {
  look();
  const probe = document.createElement("pre");
  probe.id = "probe";
  probe.textContent = JSON.stringify({ seen, failures });
  document.body.append(probe);
}, 6000);
</script>
</body>"""


@pytest.mark.slow
@pytest.mark.skipif(BROWSER is None, reason="needs Chromium")
def test_a_live_page_goes_on_with_the_grid_and_lets_one_look_back(tmp_path, monkeypatch):
    net = grid(10)
    series = rollout(net, steps=9).series
    moments = [Series(*(np.asarray(x)[t] for x in series)) for t in range(8)]
    live = LivePage(net, 0.25, title=HOSTILE)
    live.begin(moments[0], start_hour=6.0)
    plain, asked = live.page, live.frames

    def driven():
        text = plain().replace("<head>", f"<head>{NOTE_ERRORS}")
        live.add(moments[1])  # once the page has been made
        live.add(moments[2])
        return FOLLOWER.join(text.rsplit("</body>", 1))

    def goes_on(episode, since):
        if since == 3 and len(live._moments) == 3 and episode > 0:
            counted.append(since)
            if len(counted) == 15:  # 3 s later, when one looks back
                live.add(moments[3])
        return asked(episode, since)

    counted = []
    monkeypatch.setattr(live, "page", driven)
    monkeypatch.setattr(live, "frames", goes_on)
    found = probed(live.address, tmp_path)
    live.close()
    assert found["failures"] == []
    first, second, third = found["seen"]
    assert (first["T"], first["clock"], first["title"]) == (1, "day 1, 06:00", HOSTILE)
    assert (second["T"], second["t"], second["clock"], second["live"]) == (3, 2, "day 1, 06:30", "live")
    assert f"{series.vm[2, 3]:.5f}" in second["bus"]
    assert second["drawn"]
    assert (first["charted"], second["charted"]) == (2, 4)  # the last step's end is a point of its own
    assert (third["T"], third["t"], third["clock"]) == (4, 0, "day 1, 06:00")
