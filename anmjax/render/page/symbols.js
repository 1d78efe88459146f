// SVG elements, and the symbols of devices. Lengths are in lengths of a branch.

const SVG = byId("svg").namespaceURI;

function draw(parent, tag, attributes = {}, text = null) {
  const element = document.createElementNS(SVG, tag);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  if (text !== null) element.textContent = text;
  parent.append(element);
  return element;
}
// What stays as it is is not set again: a large grid has thousands of attributes, few of which change at a time.
function set(element, attributes) {
  const known = (element.known ??= {});
  for (const key in attributes) {
    if (known[key] !== attributes[key]) element.setAttribute(key, (known[key] = attributes[key]));
  }
}
const show = (element, visible) => set(element, { visibility: visible ? "visible" : "hidden" });
const write = (element, text) => { if (element.textContent !== text) element.textContent = text; };
const pathOf = (points) => "M" + points.map((p) => p.join(" ")).join("L");

const R = 0.14; // of a device's symbol
const TRIANGLE = (r) => `M${-r} ${-0.8 * r}L${r} ${-0.8 * r}L0 ${0.95 * r}Z`;

// Each: draws into a group whose origin is the device, and returns what sets it to (P share, potential share,
// charge share, whether it gives or takes).
const SYMBOLS = {
  load(group) {
    draw(group, "path", { class: "shell", d: TRIANGLE(R) });
    const fill = draw(group, "path", { class: "fill", d: TRIANGLE(R) });
    return (share) => set(fill, { transform: `scale(${Math.sqrt(share).toFixed(2)})` });
  },
  renewable(group) {
    draw(group, "circle", { class: "shell", r: R });
    const could = draw(group, "circle", { class: "could" }), fill = draw(group, "circle", { class: "fill" });
    return (share, potential) => {
      set(could, { r: (R * Math.sqrt(potential)).toFixed(4) });
      set(fill, { r: (R * Math.sqrt(share)).toFixed(4) });
    };
  },
  storage(group) {
    const h = 0.28, w = 0.17;
    draw(group, "rect", { class: "shell", x: -0.04, y: -h / 2 - 0.035, width: 0.08, height: 0.04 });
    draw(group, "rect", { class: "shell", x: -w / 2, y: -h / 2, width: w, height: h, rx: 0.02 });
    const fill = draw(group, "rect", { class: "fill", x: -w / 2, width: w });
    const sign = draw(group, "text", { class: "sign", "font-size": 0.2 });
    return (share, potential, charge, way) => {
      set(fill, { y: (h / 2 - h * charge).toFixed(4), height: (h * charge).toFixed(4) });
      write(sign, way > 0 ? "−" : way < 0 ? "+" : "");
    };
  },
  slack(group) {
    draw(group, "rect", { class: "shell", x: -R, y: -R, width: 2 * R, height: 2 * R });
    draw(group, "path", { class: "coil", d: `M${-R} ${-R}L${R} ${R}M${-R} ${R}L${R} ${-R}M0 ${-R}V${R}M${-R} 0H${R}` });
    return () => {};
  },
};
SYMBOLS.generator = SYMBOLS.renewable;

// Where along a branch its arrow stands: the middle of its middle piece, and the direction there.
function middleOf(points, along = 0.5) {
  const k = Math.floor((points.length - 1) / 2), [a, b] = [points[k], points[k + 1]];
  return {
    x: a[0] + along * (b[0] - a[0]),
    y: a[1] + along * (b[1] - a[1]),
    angle: (Math.atan2(b[1] - a[1], b[0] - a[0]) * 180) / Math.PI,
  };
}

function drawLegend() {
  const list = byId("legend");
  const add = (content, text) => {
    const item = document.createElement("li");
    if (content) item.append(content);
    item.append(text);
    list.append(item);
    return item;
  };
  const ramp = (stops, before, after) => {
    const bar = document.createElement("span");
    bar.className = "ramp";
    bar.style.background = `linear-gradient(90deg, ${stops.join(",")})`;
    add(null, before).append(bar, after);
  };
  ramp([mix(LOW, LOW, 0), mix(MIDDLE(), MIDDLE(), 0), mix(HIGH, HIGH, 0)], "bus: lowest allowed voltage", "highest");
  ramp([mix(IDLE(), IDLE(), 0), mix(BUSY(), BUSY(), 0)], "branch: 0 %", "100 % of its rating");
  const icon = (attributes, fill) => {
    const svg = document.createElementNS(SVG, "svg");
    svg.setAttribute("viewBox", "-.2 -.2 .4 .4");
    fill(draw(svg, "g", attributes));
    return svg;
  };
  add(icon({}, (g) => { draw(g, "circle", { class: "bus", r: 0.09, fill: mix(HIGH, HIGH, 0) }); draw(g, "circle", { class: "halo", r: 0.15 }); }),
    "bus outside its limits, ▲ above, ▼ below");
  add(icon({}, (g) => { draw(g, "path", { class: "alarm", d: "M-.2 0H.2" }); draw(g, "path", { class: "wire", d: "M-.2 0H.2", stroke: "var(--bad)", "stroke-width": 4 }); }),
    "branch above its rating");
  const device = (kind, text, ...values) => GRID.device.kind.includes(kind)
    && add(icon({ class: kind }, (g) => SYMBOLS[kind](g)(...values)), text);
  device("slack", "outer grid");
  device("load", "load: share of its largest", 0.6);
  device("renewable", "renewable: given, and could be given", 0.45, 0.85);
  device("generator", "generator: given, and could be given", 0.45, 0.85);
  device("storage", "storage: charge; + charging, − discharging", 0, 0, 0.6, 0);
}
