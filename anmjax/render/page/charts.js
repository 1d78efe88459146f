// Charts over the whole rollout with a cursor at the moment shown, drawn by uPlot. The scale of a quantity is the
// same for all policies, so that heights compare.

const HEIGHT = 78, LEFT = 40, FONT_OF_AXES = "10px system-ui, 'DejaVu Sans', sans-serif";
const COLOURS = ["--one", "--two", "--three", "--four", "--five", "--six"], BAD = "--bad";
const colourOf = (name) => getComputedStyle(document.documentElement).getPropertyValue(name);

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
    { title: "reward", unit: "a step", lines: (p) => [
      { label: "reward", values: p.s.reward[0], colour: COLOURS[5] },
    ] },
    { title: "cost so far", unit: "p.u.h", from: 0, accrues: true, lines: (p) => [
      { label: "lost or stored", values: p.lost, colour: COLOURS[2] },
      { label: "violations", values: p.penalty, colour: BAD },
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
  const asked = d.asked[k];
  return { title: deviceName(k), unit: "MW, MVAr", lines: (p) => [
    ...(d.potential[k] >= 0 ? [{ label: "could give", values: p.s.potential_mw[d.potential[k]], colour: COLOURS[1], dashed: true }] : []),
    { label: "P", values: p.s.p_mw[k], colour: COLOURS[2] },
    { label: "Q", values: p.s.q_mvar[k], colour: COLOURS[3] },
    ...(asked >= 0 ? [
      { label: "P asked", values: p.s.asked_mw[asked], colour: COLOURS[0], dashed: true },
      { label: "Q asked", values: p.s.asked_mvar[asked], colour: COLOURS[5], dashed: true },
    ] : []),
  ] };
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

// Where the axis of time has marks, in steps, some 50 pixels apart, and what they say.
function hoursOfAxis(width) {
  const hours = T * DATA.delta_t, first = (DATA.start_hour ?? 0) + (DATA.lead - 1) * DATA.delta_t;
  const every = [1, 2, 3, 6, 12, 24, 48, 168, 744].find((h) => (h / hours) * width > 50) ?? Math.ceil(hours / 6);
  const marks = [];
  for (let h = Math.ceil(first / every) * every; h <= first + hours + 1e-9; h += every) {
    const fits = h < first + hours * (1 - 14 / width); // a name at the very end would be cut
    marks.push([(h - first) / DATA.delta_t, !fits ? "" : DATA.start_hour === null || every > 12 ? `${h} h` : `${h % 24}:00`]);
  }
  return marks;
}

class Chart {
  constructor(parent, spec, policy, policies, onSeek) {
    Object.assign(this, { spec, t: 0, plot: null });
    this.read(policy, policies);
    this.box = document.createElement("div");
    this.box.className = "chart";
    const text = document.createElement("p"), title = document.createElement("b");
    title.textContent = `${spec.title}, ${spec.unit}`;
    text.append(title);
    this.values = this.lines.map(({ label, colour, dashed }) => {
      const key = document.createElement("span"), line = document.createElement("i"), value = document.createElement("span");
      key.className = "key";
      line.className = dashed ? "dashed" : "";
      line.style.borderTopColor = `var(${colour})`;
      key.append(line, `${label} `, value);
      text.append(key);
      return value;
    });
    this.area = document.createElement("div");
    this.area.setAttribute("role", "img");
    this.area.setAttribute("aria-label", `${spec.title} over time`);
    this.box.append(text, this.area);
    parent.append(this.box);
    this.onSeek = onSeek;
    this.watcher = new ResizeObserver(() => requestAnimationFrame(() => this.draw()));
    this.watcher.observe(this.area);
  }

  read(policy, policies) {
    const { spec } = this;
    // Costs stay after a collapse; nothing else does.
    const known = (values, t) => ((spec.accrues || policy.alive(t)) && Number.isFinite(values[t]) ? values[t] : null);
    this.lines = spec.lines(policy);
    this.scale = scaleOf(spec, policies);
    // A step lasts until the next one begins: the last has an end of its own.
    const columns = this.lines.map(({ values }) => Array.from({ length: T + 1 }, (_, t) => known(values, Math.min(t, T - 1))));
    this.data = [Array.from({ length: T + 1 }, (_, t) => t), ...columns];
    this.plot?.setData(this.data);
  }

  make(width) {
    const axis = { stroke: () => colourOf("--soft"), font: FONT_OF_AXES };
    const ticks = { stroke: () => colourOf("--line"), width: 1, size: 3 };
    return new uPlot({
      width, height: HEIGHT,
      padding: [5, 6, 0, 0],
      legend: { show: false },
      cursor: { y: false, points: { show: false }, drag: { x: false, y: false }, dblclick: () => null },
      scales: { x: { time: false, range: () => [0, T] }, y: { range: () => this.scale } },
      axes: [
        { ...axis, ticks, size: 17, gap: 1, grid: { show: false }, splits: (u) => hoursOfAxis(u.bbox.width / devicePixelRatio).map(([at]) => at),
          values: (u) => hoursOfAxis(u.bbox.width / devicePixelRatio).map(([, text]) => text) },
        { ...axis, ticks: { show: false }, size: LEFT, gap: 3, space: 18, grid: ticks,
          values: (u, splits) => splits.map((x) => `${+x.toPrecision(6)}`.replace("-", "−")) },
      ],
      series: [{}, ...this.lines.map(({ colour, dashed }) => ({
        stroke: () => colourOf(colour), width: 1.7, dash: dashed ? [5, 3] : undefined, points: { show: false },
        paths: uPlot.paths.stepped({ align: 1 }),
      }))],
      hooks: { draw: [(u) => { this.drawLevels(u); this.point(); }] },
    }, this.data, this.area);
  }

  draw() {
    const width = this.area.clientWidth;
    if (!width || width === this.width) return;
    this.width = width;
    if (this.plot) { this.plot.setSize({ width, height: HEIGHT }); return; }
    this.plot = this.make(width);
    this.cursor = document.createElement("div");
    this.cursor.className = "moment";
    this.plot.over.append(this.cursor);
    const seek = (event) => this.onSeek(Math.floor(this.plot.posToVal(event.clientX - this.plot.over.getBoundingClientRect().x, "x")));
    this.plot.over.addEventListener("pointerdown", seek);
    this.plot.over.addEventListener("pointermove", (event) => { if (event.buttons) seek(event); });
    this.update(this.t);
  }

  drawLevels(u) {
    const { ctx, bbox } = u;
    ctx.save();
    ctx.strokeStyle = colourOf(BAD);
    ctx.lineWidth = devicePixelRatio;
    ctx.setLineDash([4 * devicePixelRatio, 3 * devicePixelRatio]);
    for (const level of this.spec.levels ?? []) {
      const y = Math.round(u.valToPos(level, "y", true));
      ctx.beginPath();
      ctx.moveTo(bbox.left, y);
      ctx.lineTo(bbox.left + bbox.width, y);
      ctx.stroke();
    }
    ctx.restore();
  }

  point() {
    if (this.cursor) this.cursor.style.transform = `translateX(${this.plot.valToPos(this.t + 0.5, "x").toFixed(1)}px)`;
  }

  update(t) {
    this.t = t;
    this.values.forEach((value, k) => { write(value, number(this.data[k + 1][t], 4)); });
    this.point();
  }

  // Colours of another scheme.
  repaint() { this.plot?.redraw(false); }

  remove() {
    this.watcher.disconnect();
    this.plot?.destroy();
    this.box.remove();
  }
}
