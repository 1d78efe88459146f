// The one-line diagram of a policy's grid. All diagrams of a page share one view.

const BUS_RADIUS = 0.1, FONT = 0.22, EDGE = 0.75; // EDGE: free space around the grid
const BOX = (() => {
  const all = [...GRID.bus.at, ...GRID.device.at, ...GRID.branch.path.flat()];
  const of = (i, better) => all.reduce((best, p) => better(best, p[i]), all[0][i]);
  const x = of(0, Math.min) - EDGE, y = of(1, Math.min) - EDGE;
  return { x, y, w: of(0, Math.max) + EDGE - x, h: of(1, Math.max) + EDGE - y };
})();
const view = { ...BOX };
const DIAGRAMS = [];

function setView(next) {
  const w = Math.min(Math.max(next.w, 1.5), 3 * BOX.w), h = (w * BOX.h) / BOX.w;
  Object.assign(view, { x: next.x, y: next.y, w, h });
  DIAGRAMS.forEach((diagram) => diagram.applyView());
}
// Zooms about a point of the grid; the middle of the view by default.
function zoom(factor, x = view.x + view.w / 2, y = view.y + view.h / 2) {
  setView({ x: x - (x - view.x) * factor, y: y - (y - view.y) * factor, w: view.w * factor });
}

class Diagram {
  constructor(parent, policy, onPin, onHover) {
    Object.assign(this, { policy, t: 0, far: true }); // far: devices and names are not drawn
    this.svg = draw(parent, "svg", { class: "diagram", role: "img", "aria-label": `diagram of the grid under ${policy.name}` });
    const layer = () => draw(this.svg, "g");
    this.under = layer(); this.wires = layer(); this.leads = layer(); this.arrows = layer(); this.nodes = layer();
    this.elements = { branch: [], bus: [], device: [] };
    this.drawBranches(); this.drawDevices(); this.drawBuses();
    this.svg.addEventListener("click", (event) => { const e = this.elementOf(event); if (e && !this.moved) onPin(e); });
    this.svg.addEventListener("pointermove", (event) => onHover(this.elementOf(event), this.policy, event));
    this.svg.addEventListener("pointerleave", () => onHover(null));
    this.listenToMoves();
    DIAGRAMS.push(this);
    new ResizeObserver(() => requestAnimationFrame(() => this.applyView())).observe(parent);
  }

  element(layer, kind, k) {
    const group = draw(layer, "g", { class: `element ${kind}`, "data-kind": kind, "data-k": k });
    this.elements[kind].push(group);
    return group;
  }

  elementOf(event) {
    const group = event.target.closest(".element");
    return group && { kind: group.dataset.kind, k: Number(group.dataset.k) };
  }

  drawBranches() {
    this.branch = GRID.branch.path.map((points, k) => {
      const d = pathOf(points), closed = GRID.branch.closed[k];
      const alarm = draw(this.under, "path", { class: "alarm", d });
      const group = this.element(this.wires, "branch", k);
      draw(group, "path", { class: "hit", d });
      const wire = draw(group, "path", { class: closed ? "wire" : "wire open", d });
      if (GRID.branch.transformer[k]) {
        const { x, y, angle } = middleOf(points), turn = `translate(${x} ${y}) rotate(${angle})`;
        const symbol = draw(group, "g", { class: "coil", transform: turn });
        draw(symbol, "circle", { class: "shell", cx: -0.05, r: 0.09 });
        draw(symbol, "circle", { class: "coil", cx: 0.05, r: 0.09 });
      }
      const flow = closed ? draw(this.arrows, "path", { class: "flow", d }) : null;
      const at = middleOf(points, GRID.branch.transformer[k] ? 0.78 : 0.5);
      const arrow = closed ? draw(this.arrows, "path", { class: "arrow", d: "M.075 0L-.055 .06L-.03 0L-.055 -.06Z" }) : null;
      return { alarm, wire, flow, arrow, at, way: null };
    });
  }

  drawDevices() {
    this.device = GRID.device.at.map(([x, y], k) => {
      const [bx, by] = GRID.bus.at[GRID.device.bus[k]];
      draw(this.leads, "line", { class: "lead device", x1: bx, y1: by, x2: x, y2: y });
      const group = this.element(this.nodes, "device", k);
      group.classList.add(GRID.device.kind[k]);
      group.setAttribute("transform", `translate(${x} ${y}) scale(${GRID.device.size[k]})`);
      return SYMBOLS[GRID.device.kind[k]](group);
    });
  }

  drawBuses() {
    this.bus = GRID.bus.at.map(([x, y], k) => {
      const group = this.element(this.nodes, "bus", k);
      const halo = draw(group, "circle", { class: "halo", cx: x, cy: y });
      const dot = draw(group, "circle", { class: "bus", cx: x, cy: y });
      const [sx, sy] = GRID.bus.name_side[k];
      const sideways = 0.5 * 0.13 * String(GRID.bus.id[k]).length; // half the width of a name
      const far = { x: x + sx * (0.24 + sideways), y: y + sy * 0.25 };
      draw(group, "text", { ...far, "font-size": FONT }, GRID.bus.id[k]);
      const sense = draw(group, "text", { class: "sense", x, y, "font-size": 0.15 });
      return { halo, dot, sense };
    });
  }

  listenToMoves() {
    let from = null;
    const unit = () => view.w / this.svg.clientWidth;
    this.svg.addEventListener("pointerdown", (event) => { from = { x: event.clientX, y: event.clientY, vx: view.x, vy: view.y }; this.moved = false; });
    this.svg.addEventListener("pointermove", (event) => {
      if (!from || !event.buttons) return;
      const dx = event.clientX - from.x, dy = event.clientY - from.y;
      if (Math.hypot(dx, dy) < 4) return;
      if (!this.moved) this.svg.setPointerCapture(event.pointerId);
      this.moved = true;
      setView({ ...view, x: from.vx - dx * unit(), y: from.vy - dy * unit() });
    });
    this.svg.addEventListener("pointerup", () => { from = null; });
    this.svg.addEventListener("wheel", (event) => {
      if (!event.ctrlKey && !event.metaKey && view.w === BOX.w && event.deltaY > 0) return; // the page scrolls
      event.preventDefault();
      const box = this.svg.getBoundingClientRect();
      zoom(event.deltaY > 0 ? 1.15 : 1 / 1.15, view.x + (event.clientX - box.x) * unit(), view.y + (event.clientY - box.y) * unit());
    }, { passive: false });
  }

  applyView() {
    const width = this.svg.clientWidth || 600;
    // As high as the grid asks for, within what a screen has; charts beside it leave it more.
    const beside = Math.min(this.svg.parentElement.clientHeight, 520);
    const height = Math.round(Math.max(Math.min(Math.max((width * BOX.h) / BOX.w, 120), 620, 105 * BOX.h), beside));
    this.svg.style.height = `${height}px`;
    this.svg.setAttribute("viewBox", `${view.x} ${view.y} ${view.w} ${view.h}`);
    const unit = Math.min(width / view.w, height / view.h); // pixels
    const far = unit < 30, changes = far !== this.far;
    this.far = far;
    this.svg.classList.toggle("far", far);
    if (changes) this.update(this.t);
    this.svg.classList.toggle("farther", unit < 16);
    // From afar buses and arrows stay big enough to be seen.
    const radius = Math.max(BUS_RADIUS, Math.min(3.2 / unit, 0.3));
    if (radius === this.radius) return;
    this.radius = radius;
    for (const { dot, halo } of this.bus) { dot.setAttribute("r", radius); halo.setAttribute("r", 1.75 * radius); }
  }

  update(t) {
    this.t = t;
    const { policy } = this, { s } = policy, alive = policy.alive(t);
    this.branch.forEach(({ alarm, wire, arrow, at, way }, k) => {
      const percent = policy.loading[k][t], off = policy.branchOff(k, t);
      show(alarm, off);
      if (!arrow) return;
      set(wire, { stroke: loadingColour(percent), "stroke-width": (1.6 + 3.4 * Math.min(percent / 100, 1.4)).toFixed(1) });
      const p = s.p_from_mw[k][t], now = Math.abs(p) < 1e-6 ? 0 : Math.sign(p);
      if (now === way) return;
      this.branch[k].way = now;
      show(arrow, now !== 0);
      arrow.setAttribute("transform", `translate(${at.x} ${at.y}) rotate(${at.angle + (now < 0 ? 180 : 0)})`);
    });
    this.bus.forEach(({ halo, dot, sense }, k) => {
      const off = policy.busOff(k, t);
      set(dot, { fill: alive ? voltageColour(k, s.vm[k][t]) : "var(--back)" });
      show(halo, off);
      write(sense, off > 0 ? "▲" : off < 0 ? "▼" : "");
    });
    if (this.far) return;
    for (const { flow, way } of this.branch) {
      if (flow) set(flow, { class: way < 0 ? "flow back" : "flow", visibility: way ? "visible" : "hidden" });
    }
    const d = GRID.device, clip = (x) => Math.min(1, Math.max(0, Number.isFinite(x) ? x : 0));
    this.device.forEach((setSymbol, k) => {
      const p = s.p_mw[k][t], largest = d.kind[k] === "load" ? -d.p_min[k] : d.p_max[k];
      const could = d.potential[k] >= 0 ? s.potential_mw[d.potential[k]][t] : 0;
      const room = d.charge[k] >= 0 ? d.soc_max[k] - d.soc_min[k] : 0;
      const charge = d.charge[k] >= 0 ? (s.soc_mwh[d.charge[k]][t] - d.soc_min[k]) / (room || 1) : 0;
      setSymbol(clip(Math.abs(p) / (largest || Infinity)), clip(could / (largest || Infinity)), clip(charge), wayOf(k, p));
    });
  }

  pin(pinned) {
    for (const kind in this.elements) {
      this.elements[kind].forEach((group, k) => group.classList.toggle("pinned", !!pinned && pinned.kind === kind && pinned.k === k));
    }
  }
}
