// The page: panels of the policies, one clock, keyboard.

let POLICIES = DATA.policies.map(readPolicy);
const state = { t: 0, playing: false, pinned: null, hover: null };
const panels = byId("panels"), slider = byId("time");

const make = (tag, parent, className = "") => {
  const element = document.createElement(tag);
  if (className) element.className = className;
  parent.append(element);
  return element;
};

// Grids that are wide, and single ones, get the width of the page.
const asRows = POLICIES.length === 1 || BOX.w / BOX.h > 1.9;
panels.classList.add(asRows ? "rows" : "columns");
panels.style.setProperty("--count", Math.min(POLICIES.length, 3));

const SPECS = chartSpecs();
const PANELS = POLICIES.map((policy) => {
  const panel = make("section", panels, "panel");
  panel.setAttribute("aria-label", policy.name);
  const head = make("div", panel, "head");
  const heading = make("h2", head);
  heading.textContent = heading.title = policy.name;
  const cost = make("span", head), difference = make("span", head), collapse = make("span", head, "bad");
  const summary = make("p", panel, "summary");
  const body = make("div", panel, "body");
  const diagram = new Diagram(make("div", body), policy, togglePin, hover);
  const side = make("div", body, "charts");
  const charts = SPECS.map((spec) => new Chart(side, spec, policy, POLICIES, seek));
  return { policy, panel, heading, cost, difference, collapse, summary, diagram, side, charts, pinnedChart: null };
});

function summaryOf(policy, t, into) {
  into.replaceChildren();
  const say = (text, bad = false) => { const part = make("span", into, bad ? "bad" : ""); part.textContent = text; };
  if (!policy.alive(t)) { say("the network has collapsed", true); return; }
  const low = policy.lowest[t], high = policy.highest[t], full = policy.fullest[t];
  say(`voltage ${number(policy.s.vm[low][t], 4)} at ${busName(low)}`, policy.busOff(low, t) < 0);
  say(` to ${number(policy.s.vm[high][t], 4)} p.u. at ${busName(high)}`, policy.busOff(high, t) > 0);
  if (full >= 0) say(`; ${branchName(full)} at ${number(policy.loading[full][t], 3)} %`, policy.branchOff(full, t));
  const unused = policy.could[t] - policy.made[t];
  say(`; ${number(unused > 1e-4 * policy.could[t] ? unused : 0, 3)} MW unused`);
  const buses = policy.busesOff[t], branches = policy.branchesOff[t];
  if (buses + branches) say(`; outside limits: ${buses} bus${buses === 1 ? "" : "es"}, ${branches} branch${branches === 1 ? "" : "es"}`, true);
}

function update() {
  const { t } = state;
  byId("clock").textContent = clockText(t);
  slider.value = t;
  slider.setAttribute("aria-valuetext", clockText(t));
  for (const one of PANELS) {
    const { policy } = one;
    one.panel.classList.toggle("collapsed", !policy.alive(t));
    one.cost.replaceChildren("cost so far ");
    make("b", one.cost).textContent = `${number(policy.cost[t], 4)} p.u.h`;
    const less = policy.cost[t] - POLICIES[0].cost[t];
    one.difference.textContent = policy === POLICIES[0] ? "" : `${number(Math.abs(less), 3)} ${less < 0 ? "less" : "more"} than ${POLICIES[0].name}`;
    one.collapse.textContent = policy.alive(t) ? "" : "collapsed: its cost ends there";
    summaryOf(policy, t, one.summary);
    one.diagram.update(t);
    one.charts.forEach((chart) => chart.update(t));
    one.pinnedChart?.update(t);
  }
  showTip();
}

function seek(t) {
  state.t = Math.min(T - 1, Math.max(0, t));
  update();
}

// ---- time
let last = null, due = 0;
function tick(now) {
  if (!state.playing) return;
  due += last === null ? 0 : ((now - last) / 1000) * Number(byId("speed").value);
  last = now;
  const steps = Math.floor(due);
  due -= steps;
  if (steps) {
    seek(state.t + steps);
    if (state.t === T - 1) { play(false); return; }
  }
  requestAnimationFrame(tick);
}
function play(on) {
  if (on && state.t === T - 1) seek(0);
  Object.assign(state, { playing: on });
  [last, due] = [null, 0];
  byId("play").textContent = on ? "pause" : "play";
  document.body.classList.toggle("moving", on); // power flows along the branches
  if (on) requestAnimationFrame(tick);
}

function seekViolation(way) {
  const off = (t) => POLICIES.some((policy) => policy.off(t));
  let t = state.t;
  while (off(t) && off(t + way) && t + way >= 0 && t + way < T) t += way; // out of the one shown
  for (t += way; t >= 0 && t < T; t += way) if (off(t)) { seek(t); return; }
}

// A strip for each policy: when limits were violated. Above voltages, below branches.
function drawStrips() {
  const style = getComputedStyle(document.documentElement);
  byId("strips").replaceChildren();
  for (const policy of POLICIES) {
    const strip = make("div", byId("strips"), "strip"), canvas = make("canvas", strip);
    const shown = POLICIES.length > 1 ? policy.name : "violations";
    const name = document.createElement("span");
    name.textContent = shown;
    strip.prepend(name);
    const count = overTime((t) => policy.off(t)).filter(Boolean).length;
    canvas.setAttribute("role", "img");
    canvas.setAttribute("aria-label", `${policy.name}: limits violated in ${count} of ${T} steps`);
    canvas.title = `${policy.name}: limits violated in ${count} of ${T} steps; above voltages, below branches`;
    const width = (canvas.width = canvas.clientWidth * 2), brush = canvas.getContext("2d");
    canvas.height = 18;
    for (let t = 0; t < T; t++) {
      const x = Math.floor((t / T) * width), w = Math.max(2, Math.ceil(width / T));
      const paint = (colour, y, h) => { brush.fillStyle = style.getPropertyValue(colour); brush.fillRect(x, y, w, h); };
      if (!policy.alive(t)) paint("--ink", 0, 18);
      else {
        if (policy.busesOff[t]) paint("--one", 0, 9);
        if (policy.branchesOff[t]) paint("--bad", 9, 9);
      }
    }
    canvas.addEventListener("pointerdown", (event) => {
      const box = canvas.getBoundingClientRect();
      seek(Math.floor(((event.clientX - box.x) / box.width) * T));
    });
  }
}

// ---- elements
function hover(element, policy, event) {
  state.hover = element && { ...element, policy, x: event.clientX, y: event.clientY };
  showTip();
}
function showTip() {
  const tip = byId("tip"), { hover: at } = state;
  tip.hidden = !at;
  if (!at) return;
  tip.textContent = describe[at.kind](at.policy, at.k, state.t).join("\n");
  const x = at.x + 16 + tip.offsetWidth > innerWidth ? at.x - 12 - tip.offsetWidth : at.x + 16;
  const y = Math.min(at.y + 12, innerHeight - tip.offsetHeight - 6);
  Object.assign(tip.style, { left: `${Math.max(4, x)}px`, top: `${y}px` });
}
function togglePin(element) {
  const same = state.pinned && state.pinned.kind === element.kind && state.pinned.k === element.k;
  pin(same ? null : element);
}
function pin(element) {
  state.pinned = element;
  byId("element").value = element ? `${element.kind} ${element.k}` : "";
  for (const one of PANELS) {
    one.diagram.pin(element);
    one.pinnedChart?.remove();
    one.pinnedChart = element ? new Chart(one.side, pinnedSpec(element), one.policy, POLICIES, seek) : null;
    if (one.pinnedChart) one.side.prepend(one.pinnedChart.box);
  }
  update();
}

// What has come to the rollouts since, on a page that follows a running environment.
function refresh() {
  POLICIES = DATA.policies.map(readPolicy);
  slider.max = T - 1;
  PANELS.forEach((one, k) => {
    if (state.hover?.policy === one.policy) state.hover.policy = POLICIES[k];
    one.policy = one.diagram.policy = POLICIES[k];
    one.heading.textContent = one.heading.title = one.policy.name;
    for (const chart of [...one.charts, one.pinnedChart].filter(Boolean)) {
      chart.read(one.policy, POLICIES);
    }
  });
  drawStrips();
}

// ---- begin
byId("title").textContent = DATA.title || "Replay";
slider.max = T - 1;
slider.addEventListener("input", () => seek(Number(slider.value)));
byId("play").addEventListener("click", () => play(!state.playing));
byId("closer").addEventListener("click", () => zoom(1 / 1.3));
byId("farther").addEventListener("click", () => zoom(1.3));
byId("whole").addEventListener("click", () => setView(BOX));
for (const [kind, label] of [["bus", "buses"], ["branch", "branches"], ["device", "devices"]]) {
  const group = make("optgroup", byId("element"));
  group.label = label;
  GRID[kind][kind === "branch" ? "from" : "id"].forEach((_, k) => {
    const option = make("option", group);
    option.value = `${kind} ${k}`;
    option.textContent = nameOf[kind](k);
  });
}
byId("element").addEventListener("change", (event) => {
  const [kind, k] = event.target.value.split(" ");
  pin(kind ? { kind, k: Number(k) } : null);
});

const anHour = Math.max(1, Math.round(1 / DATA.delta_t));
const KEYS = {
  " ": () => play(!state.playing),
  ArrowLeft: () => seek(state.t - 1), ArrowRight: () => seek(state.t + 1),
  PageDown: () => seek(state.t + anHour), PageUp: () => seek(state.t - anHour),
  Home: () => seek(0), End: () => seek(T - 1),
  n: () => seekViolation(1), p: () => seekViolation(-1),
  "+": () => zoom(1 / 1.3), "-": () => zoom(1.3), 0: () => setView(BOX),
  Escape: () => pin(null),
};
addEventListener("keydown", (event) => {
  const onControl = event.target.matches?.("select, button");
  if (event.ctrlKey || event.metaKey || event.altKey || !(event.key in KEYS)) return;
  if (onControl && (event.key === " " || event.target.matches("select"))) return; // the control's own
  event.preventDefault();
  KEYS[event.key]();
});
addEventListener("resize", drawStrips);
darkScheme.addEventListener("change", () => {
  dark = darkScheme.matches;
  byId("legend").replaceChildren();
  drawLegend();
  drawStrips();
  for (const one of PANELS) for (const chart of [...one.charts, one.pinnedChart]) chart?.repaint();
  update();
});

drawLegend();
drawStrips();
// #t=12 in the address begins there.
seek(Number(new URLSearchParams(location.hash.slice(1)).get("t")) || 0);
