"use strict";
// The data of the page, its units, and the colours of what it shows.

const DATA = JSON.parse(document.getElementById("data").textContent);
const GRID = DATA.network;
let T = DATA.steps; // which grows on a page that follows a running environment
const byId = (id) => document.getElementById(id);

// Columns of 16-bit codes, see quantised() of the Python side; or columns as they are.
function decode(series) {
  if (Array.isArray(series)) return series;
  const { low, step, codes } = series;
  const bytes = Uint8Array.from(atob(codes), (c) => c.charCodeAt(0));
  const view = new DataView(bytes.buffer);
  return low.map((base, k) => {
    const column = new Float64Array(T);
    for (let t = 0; t < T; t++) {
      const code = view.getUint16(2 * (k * T + t), true);
      column[t] = code === 65535 ? NaN : base + step[k] * code;
    }
    return column;
  });
}

const total = (columns, t) => columns.reduce((sum, column) => sum + column[t], 0);
const overTime = (value) => Float64Array.from({ length: T }, (_, t) => value(t));
const indices = (list) => list.map((_, k) => k);

// A rollout with what follows from it: totals, extremes, costs as they accrue, and violations.
function readPolicy({ name, series }) {
  const s = Object.fromEntries(Object.entries(series).map(([key, value]) => [key, decode(value)]));
  const ofKind = (...kinds) => indices(GRID.device.kind).filter((k) => kinds.includes(GRID.device.kind[k]));
  const pick = (kinds) => ofKind(...kinds).map((k) => s.p_mw[k]);
  const loads = pick(["load"]), made = pick(["renewable", "generator"]);
  const fed = indices(s.vm);
  const alive = (t) => !(s.terminated[0][t] > 0.5);
  const extreme = (better, value, among) => Int32Array.from({ length: T }, (_, t) => {
    let best = among.length ? among[0] : -1;
    for (const k of among) if (better(value(k, t), value(best, t))) best = k;
    return best;
  });
  const loading = s.s_mva.map((column, k) => column.map((x) => (GRID.branch.rating[k] ? (100 * x) / GRID.branch.rating[k] : 0)));
  const rated = indices(loading).filter((k) => GRID.branch.rating[k]);
  const policy = {
    name, s, loading, alive,
    load: overTime((t) => -total(loads, t)),
    made: overTime((t) => total(made, t)),
    could: overTime((t) => total(s.potential_mw, t)),
    lowest: extreme((a, b) => a < b, (k, t) => s.vm[k][t], fed),
    highest: extreme((a, b) => a > b, (k, t) => s.vm[k][t], fed),
    fullest: extreme((a, b) => a > b, (k, t) => loading[k][t], rated),
    hasRatings: rated.length > 0,
  };
  policy.busOff = (k, t) => (!alive(t) ? 0 : s.vm[k][t] > GRID.bus.v_max[k] + 1e-5 ? 1 : s.vm[k][t] < GRID.bus.v_min[k] - 1e-5 ? -1 : 0);
  policy.branchOff = (k, t) => alive(t) && loading[k][t] > 100.01;
  policy.busesOff = overTime((t) => fed.filter((k) => policy.busOff(k, t)).length);
  policy.branchesOff = overTime((t) => indices(loading).filter((k) => policy.branchOff(k, t)).length);
  policy.off = (t) => !alive(t) || policy.busesOff[t] + policy.branchesOff[t] > 0;
  const accrue = (column) => { let sum = 0; return column.map((x) => (sum += x || 0)); };
  policy.lost = accrue(s.e_loss[0]);
  policy.penalty = accrue(s.penalty[0]);
  policy.cost = policy.lost.map((x, t) => x + policy.penalty[t]);
  return policy;
}

// ---- text
const number = (x, digits = 4) => {
  if (x === null || !Number.isFinite(x)) return "–";
  if (Math.abs(x) < 5e-7) return "0";
  const places = Math.max(0, Math.min(6, digits - 1 - Math.floor(Math.log10(Math.abs(x)))));
  return x.toFixed(places).replace("-", "−");
};
const clockText = (t) => {
  const hours = (DATA.start_hour ?? 0) + (t + DATA.lead) * DATA.delta_t;
  const minutes = Math.round(hours * 60), day = Math.floor(minutes / 1440) + 1, rest = minutes % 1440;
  const clock = `${String(Math.floor(rest / 60)).padStart(2, "0")}:${String(rest % 60).padStart(2, "0")}`;
  return DATA.start_hour === null ? `${number(hours, 4)} h` : `day ${day}, ${clock}`;
};
// Names as they are in the data of the grid: no longer than a line has room for, each in its own direction of writing.
const called = (name) => `\u2068${name.length > 40 ? `${name.slice(0, 39)}…` : name}\u2069`;
const busName = (k) => (k in GRID.bus.name ? called(GRID.bus.name[k]) : `bus ${GRID.bus.id[k]}`);
const branchName = (k) => {
  const ends = `${GRID.bus.id[GRID.branch.from[k]]} – ${GRID.bus.id[GRID.branch.to[k]]}`;
  return k in GRID.branch.name ? `${called(GRID.branch.name[k])} (${ends})` : `branch ${ends}`;
};
const deviceName = (k) => {
  const kind = GRID.device.kind[k] === "slack" ? "outer grid" : GRID.device.kind[k];
  return k in GRID.device.name ? `${called(GRID.device.name[k])} (${kind})` : `${kind} ${GRID.device.id[k]}`;
};
const nameOf = { bus: busName, branch: branchName, device: deviceName };

const range = (low, high, unit) => (low === null && high === null ? "" : `  (${number(low)} to ${number(high)} ${unit})`);

// Whether a device gives (1), takes (-1) or rests: zero is exact only to the quantum of its numbers.
const wayOf = (k, p) => (Math.abs(p) < 1e-3 * (GRID.device.p_max[k] ?? 1) ? 0 : Math.sign(p));

// All quantities of an element at a time, a line each.
const describe = {
  bus(policy, k, t) {
    const off = policy.busOff(k, t);
    return [
      `${busName(k)}${GRID.bus.slack.includes(k) ? " (slack)" : ""}`,
      `|V|  ${number(policy.s.vm[k][t], 5)} p.u.${range(GRID.bus.v_min[k], GRID.bus.v_max[k], "p.u.")}${off ? (off > 0 ? "  TOO HIGH" : "  TOO LOW") : ""}`,
      ...(GRID.bus.kv[k] > 0 ? [`      ${number(policy.s.vm[k][t] * GRID.bus.kv[k], 5)} kV`] : []),
      `angle ${number(policy.s.va_deg[k][t])}°`,
    ];
  },
  branch(policy, k, t) {
    const lines = [branchName(k) + (GRID.branch.transformer[k] ? " (transformer)" : "")], shift = GRID.branch.shift_deg[k];
    if (GRID.branch.transformer[k]) lines.push(`tap ${number(GRID.branch.tap[k], 5)}${shift ? `, shift ${number(shift)}°` : ""}`);
    if (!GRID.branch.closed[k]) return [...lines, "open"];
    const loading = GRID.branch.rating[k] ? `${number(policy.loading[k][t], 4)} % of ${number(GRID.branch.rating[k])} MVA` : "no rating";
    return [
      ...lines,
      `loading ${loading}${policy.branchOff(k, t) ? "  OVERLOADED" : ""}`,
      `S  ${number(policy.s.s_mva[k][t])} MVA`,
      `P  ${number(policy.s.p_from_mw[k][t])} MW, Q  ${number(policy.s.q_from_mvar[k][t])} MVAr`,
      `   into it at ${busName(GRID.branch.from[k])}`,
    ];
  },
  device(policy, k, t) {
    const d = GRID.device, p = policy.s.p_mw[k][t], lines = [`${deviceName(k)} at ${busName(d.bus[k])}`];
    lines.push(`P  ${number(p)} MW${range(d.p_min[k], d.p_max[k], "MW")}`);
    lines.push(`Q  ${number(policy.s.q_mvar[k][t])} MVAr${range(d.q_min[k], d.q_max[k], "MVAr")}`);
    if (d.potential[k] >= 0) {
      const could = policy.s.potential_mw[d.potential[k]][t];
      lines.push(`could give ${number(could)} MW, unused ${number(Math.max(0, could - p))} MW`);
    }
    if (d.asked[k] >= 0) lines.push(`asked  ${number(policy.s.asked_mw[d.asked[k]][t])} MW, ${number(policy.s.asked_mvar[d.asked[k]][t])} MVAr`);
    if (d.charge[k] >= 0) {
      const soc = policy.s.soc_mwh[d.charge[k]][t];
      lines.push(`charge ${number(soc)} MWh${range(d.soc_min[k], d.soc_max[k], "MWh")}`);
      lines.push({ 1: "discharging", "-1": "charging", 0: "at rest" }[wayOf(k, p)]);
    }
    return lines;
  },
};

// ---- colours: blue is low, orange is high; both tell apart for all kinds of colour vision
const darkScheme = matchMedia("(prefers-color-scheme: dark)");
let dark = darkScheme.matches;
const mix = (a, b, x) => `rgb(${a.map((v, i) => Math.round(v + (b[i] - v) * x)).join(",")})`;
const LOW = [33, 102, 190], HIGH = [230, 120, 10];
const MIDDLE = () => (dark ? [110, 120, 132] : [226, 230, 235]);
const IDLE = () => (dark ? [96, 108, 122] : [172, 182, 194]);
const BUSY = () => (dark ? [240, 225, 120] : [76, 20, 110]);

function voltageColour(k, vm) {
  // Limits far apart, as those of a slack often are, would make all alike.
  const low = Math.max(GRID.bus.v_min[k] ?? 0, 0.85), high = Math.min(GRID.bus.v_max[k] ?? 2, 1.15);
  const x = (2 * vm - low - high) / Math.max(high - low, 1e-6);
  return mix(MIDDLE(), x < 0 ? LOW : HIGH, Math.min(1, Math.abs(x)));
}
const loadingColour = (percent) => (percent > 100.01 ? "var(--bad)" : mix(IDLE(), BUSY(), Math.min(1, percent / 100)));
