// Charts over the whole rollout with a cursor at the moment shown. The scale of a quantity is the same for all
// policies, so that heights compare.

const HEIGHT = 74, LEFT = 38, RIGHT = 6, TOP = 5, BOTTOM = 14;
const COLOURS = ["--one", "--two", "--three", "--four", "--five", "--six"].map((name) => `var(${name})`);

// What a chart shows: title, unit, lines of each policy {label, values, colour, dashed}, fixed levels, least range.
function chartSpecs() {
  const limits = (() => {
    const free = indices(GRID.bus.id).filter((k) => !GRID.bus.slack.includes(k));
    const of = (column, pick) => pick(...free.map((k) => column[k]).filter((x) => x !== null && x > 0 && x < 2));
    return [of(GRID.bus.v_min, Math.max), of(GRID.bus.v_max, Math.min)].filter(Number.isFinite);
  })();
  const at = (which, columns) => overTime((t) => (which[t] < 0 ? NaN : columns[which[t]][t]));
  const specs = [
    { title: "power", unit: "MW", lines: (p) => [
      { label: "load", values: p.load, colour: COLOURS[4] },
      { label: "possible", values: p.could, colour: COLOURS[1], dashed: true },
      { label: "generated", values: p.made, colour: COLOURS[2] },
    ] },
    { title: "voltages", unit: "p.u.", levels: limits, lines: (p) => [
      { label: "highest", values: at(p.highest, p.s.vm), colour: COLOURS[1] },
      { label: "lowest", values: at(p.lowest, p.s.vm), colour: COLOURS[0] },
    ] },
    { title: "fullest branch", unit: "%", levels: [100], from: 0, lines: (p) => [
      { label: "loading", values: p.hasRatings ? at(p.fullest, p.loading) : overTime(() => NaN), colour: COLOURS[3] },
    ] },
    { title: "cost so far", unit: "p.u.h", from: 0, accrues: true, lines: (p) => [
      { label: "energy lost", values: p.lost, colour: COLOURS[2] },
      { label: "violations", values: p.penalty, colour: "var(--bad)" },
    ] },
  ];
  const storage = indices(GRID.device.id).filter((k) => GRID.device.charge[k] >= 0);
  if (storage.length) {
    specs.push({ title: "charge", unit: "MWh", from: 0, lines: (p) => storage.slice(0, 6).map((k, i) => (
      { label: deviceName(k), values: p.s.soc_mwh[GRID.device.charge[k]], colour: COLOURS[(i + 3) % 6] })) });
  }
  return specs;
}

// The chart of an element that is pinned.
function pinnedSpec({ kind, k }) {
  if (kind === "bus") {
    return { title: busName(k), unit: "p.u.", levels: [GRID.bus.v_min[k], GRID.bus.v_max[k]].filter((x) => x > 0.5 && x < 2),
      lines: (p) => [{ label: "|V|", values: p.s.vm[k], colour: COLOURS[0] }] };
  }
  if (kind === "branch") {
    return GRID.branch.rating[k]
      ? { title: branchName(k), unit: "%", levels: [100], from: 0, lines: (p) => [{ label: "loading", values: p.loading[k], colour: COLOURS[3] }] }
      : { title: branchName(k), unit: "MVA", from: 0, lines: (p) => [{ label: "S", values: p.s.s_mva[k], colour: COLOURS[3] }] };
  }
  const d = GRID.device;
  return { title: deviceName(k), unit: "MW, MVAr", levels: [0], lines: (p) => [
    ...(d.potential[k] >= 0 ? [{ label: "could give", values: p.s.potential_mw[d.potential[k]], colour: COLOURS[1], dashed: true }] : []),
    { label: "P", values: p.s.p_mw[k], colour: COLOURS[2] },
    { label: "Q", values: p.s.q_mvar[k], colour: COLOURS[3] },
  ] };
}

// Round steps of an axis with some 3 marks.
function marks(low, high) {
  const rough = (high - low) / 3, power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((m) => m * power).find((s) => s >= rough);
  const found = [];
  for (let x = Math.ceil(low / step - 1e-9) * step; x <= high + 1e-9 * step; x += step) found.push(x);
  const places = Math.max(0, -Math.floor(Math.log10(step) + 1e-9));
  return found.map((x) => [x, x.toFixed(places).replace("-", "−")]);
}

// Range of a quantity over all policies.
function scaleOf(spec, policies) {
  let low = spec.from ?? Infinity, high = -Infinity;
  for (const x of spec.levels ?? []) { low = Math.min(low, x); high = Math.max(high, x); }
  for (const policy of policies) {
    for (const { values } of spec.lines(policy)) {
      values.forEach((x, t) => {
        if (policy.alive(t) && Number.isFinite(x)) { low = Math.min(low, x); high = Math.max(high, x); }
      });
    }
  }
  if (!(high > -Infinity && low < Infinity)) return [0, 1];
  const room = 0.06 * (high - low) || Math.max(Math.abs(high), 1e-3) * 0.1;
  return [low === spec.from ? low : low - room, high + room];
}

class Chart {
  constructor(parent, spec, policy, policies, onSeek) {
    Object.assign(this, { spec, t: 0 });
    this.read(policy, policies);
    const box = document.createElement("div");
    box.className = "chart";
    this.box = box;
    const text = document.createElement("p"), title = document.createElement("b");
    title.textContent = `${spec.title}, ${spec.unit}`;
    text.append(title);
    this.values = this.lines.map(({ label, colour, dashed }) => {
      const key = document.createElement("span"), line = document.createElement("i"), value = document.createElement("span");
      key.className = "key";
      line.className = dashed ? "dashed" : "";
      line.style.borderTopColor = colour;
      key.append(line, `${label} `, value);
      text.append(key);
      return value;
    });
    box.append(text);
    parent.append(box);
    this.svg = draw(box, "svg", { role: "img", "aria-label": `${spec.title} over time` });
    const seek = (event) => {
      const x = event.clientX - this.svg.getBoundingClientRect().x;
      onSeek(Math.round(((x - LEFT) / (this.width - LEFT - RIGHT)) * T - 0.5));
    };
    this.svg.addEventListener("pointerdown", seek);
    this.svg.addEventListener("pointermove", (event) => { if (event.buttons) seek(event); });
    new ResizeObserver(() => requestAnimationFrame(() => this.draw())).observe(box);
  }

  read(policy, policies) {
    const { spec } = this;
    // Costs stay after a collapse; nothing else does.
    const known = (values) => (spec.accrues ? values : values.map((x, t) => (policy.alive(t) ? x : NaN)));
    this.lines = spec.lines(policy).map((line) => ({ ...line, values: known(line.values) }));
    this.scale = scaleOf(spec, policies);
    this.width = null; // what is drawn is of before
  }

  draw() {
    const width = this.svg.clientWidth;
    if (!width || width === this.width) return;
    this.width = width;
    this.svg.replaceChildren();
    const [low, high] = this.scale;
    const x = (t) => LEFT + (t / T) * (width - LEFT - RIGHT);
    const y = (v) => TOP + ((high - v) / (high - low)) * (HEIGHT - TOP - BOTTOM);
    for (const [value, text] of marks(low, high)) {
      draw(this.svg, "line", { x1: LEFT, x2: width - RIGHT, y1: y(value), y2: y(value), stroke: "var(--line)" });
      draw(this.svg, "text", { x: LEFT - 5, y: y(value) + 3.5, "text-anchor": "end" }, text);
    }
    const hours = T * DATA.delta_t, first = DATA.start_hour ?? 0;
    const every = [1, 2, 3, 6, 12, 24, 48, 168, 744].find((h) => (h / hours) * (width - LEFT) > 42) ?? Math.ceil(hours / 6);
    for (let h = Math.ceil(first / every) * every; h <= first + hours + 1e-9; h += every) {
      const at = x((h - first) / DATA.delta_t), label = DATA.start_hour === null || every > 12 ? `${h} h` : `${h % 24}:00`;
      draw(this.svg, "line", { x1: at, x2: at, y1: HEIGHT - BOTTOM, y2: HEIGHT - BOTTOM + 3, stroke: "var(--soft)" });
      if (at < width - 16) draw(this.svg, "text", { x: at, y: HEIGHT - 1, "text-anchor": at < LEFT + 12 ? "start" : "middle" }, label);
    }
    for (const level of this.spec.levels ?? []) {
      draw(this.svg, "line", { x1: LEFT, x2: width - RIGHT, y1: y(level), y2: y(level), stroke: "var(--bad)", "stroke-dasharray": "4 3" });
    }
    for (const { values, colour, dashed } of this.lines) {
      let path = "", pen = false;
      values.forEach((v, t) => {
        if (!Number.isFinite(v)) { pen = false; return; }
        path += `${pen ? "L" : "M"}${x(t).toFixed(1)} ${y(v).toFixed(1)}H${x(t + 1).toFixed(1)}`;
        pen = true;
      });
      draw(this.svg, "path", { d: path, fill: "none", stroke: colour, "stroke-width": 1.7, ...(dashed ? { "stroke-dasharray": "5 3" } : {}) });
    }
    this.cursor = draw(this.svg, "line", { y1: 0, y2: HEIGHT - BOTTOM, stroke: "var(--ink)", "stroke-width": 1.2 });
    this.update(this.t);
  }

  update(t) {
    this.t = t;
    this.values.forEach((value, k) => { value.textContent = number(this.lines[k].values[t], 4); });
    if (!this.cursor) return;
    const at = LEFT + ((t + 0.5) / T) * (this.width - LEFT - RIGHT);
    set(this.cursor, { x1: at, x2: at });
  }
}
