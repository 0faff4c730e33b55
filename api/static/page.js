/* Keeps the page as the server would draw it now: the server sends sections of HTML, and what differs is changed in place, so that
   the focus, a selection and an open list stay. Times are shown in the reader's zone, and run. */

import { becomeChildren } from "./become.js";

const UNITS = [[86400, "d"], [3600, "h"], [60, "min"], [1, "s"]];
const AGAIN_MS = 5_000;
const live = document.getElementById("live");
let charts = null;
let source = null;

/* -- times ------------------------------------------------------------------------------------------------------------ */

function duration(seconds) {
  let left = Math.max(1, Math.round(seconds));
  const parts = [];
  for (const [size, unit] of UNITS) {
    if (left >= size || parts.length) parts.push(left >= size ? `${Math.floor(left / size)}\u00a0${unit}` : "");
    left %= size;
    if (parts.length === 2) break;
  }
  return parts.filter(Boolean).join(" ");
}

function clock(at, now = new Date()) {
  const shown = { hour: "2-digit", minute: "2-digit", hourCycle: "h23" };
  if (at.toDateString() !== now.toDateString()) shown.weekday = "short";
  return at.toLocaleTimeString("en-GB", shown).replace(",", "");
}

function timeText(element) {
  const at = new Date(element.dateTime);
  const seconds = (at - Date.now()) / 1000;
  if (element.dataset.shown === "clock") return clock(at);
  if (element.dataset.shown === "age") return duration(-seconds);
  return seconds > 0 ? `in ${duration(seconds)}` : "now";
}

function tick(within) {
  for (const element of within.querySelectorAll("time[data-shown]")) {
    const text = timeText(element);
    if (element.textContent !== text) element.textContent = text;
  }
}

/* -- changes ---------------------------------------------------------------------------------------------------------- */

function show(sections) {
  for (const [id, html] of Object.entries(sections)) {
    const wanted = document.createElement("template");
    wanted.innerHTML = html;
    tick(wanted.content);
    becomeChildren(document.getElementById(id), wanted.content);
  }
  say();
  draw();
}

function say() {
  const { title } = document.querySelector(".headline").dataset;
  const said = document.getElementById("said");
  if (document.title !== "Nightshift" && said.dataset.title !== title) said.textContent = title;
  said.dataset.title = title;
  document.title = `${title} · Nightshift`;
}

/* The whole page, which a button's answer leads to, too. */
async function look(url = "/", sent = {}) {
  const answer = await fetch(url, { headers: { Accept: "text/html" }, ...sent });
  if (answer.headers.get("Content-Type") === "application/json") return tell((await answer.json()).error.message);
  const found = new DOMParser().parseFromString(await answer.text(), "text/html");
  const sections = [...found.querySelectorAll("main section")].filter((one) => one.innerHTML.trim());
  return show(Object.fromEntries(sections.map((one) => [one.id, one.innerHTML])));
}

/* -- live ------------------------------------------------------------------------------------------------------------- */

function tell(text, isOn = false) {
  live.textContent = text;
  live.classList.toggle("on", isOn);
}

function listen() {
  if (source || document.hidden) return;
  source = new EventSource("/page/live");
  source.onopen = () => tell("live", true);
  source.onmessage = (event) => show(JSON.parse(event.data));
  source.onerror = () => {
    if (source.readyState === EventSource.CONNECTING) return tell("no answer from the server; tries again");
    leave();
    tell("not live (too many pages are, perhaps); looks every 5 s");
    setTimeout(() => look().catch(() => tell("no answer from the server; tries again")).finally(listen), AGAIN_MS);
    return undefined;
  };
}

function leave() {
  source?.close();
  source = null;
}

/* A browser has six connections to a server: a page that nobody looks at gives its own back. */
document.addEventListener("visibilitychange", () => (document.hidden ? leave() : listen()));
addEventListener("pagehide", leave);
addEventListener("pageshow", listen);

/* -- buttons ---------------------------------------------------------------------------------------------------------- */

document.addEventListener("submit", async (event) => {
  event.preventDefault();
  const form = event.target;
  const hadFocus = form.contains(document.activeElement);
  const button = form.querySelector("button");
  button.disabled = true;
  try {
    await look(form.action, { method: "POST", body: new FormData(form) });
  } catch {
    tell("no answer from the server; tries again");
  }
  for (const one of document.querySelectorAll(".buttons button")) one.disabled = false;
  if (hadFocus) document.querySelector(".buttons button")?.focus();
});

/* -- charts ----------------------------------------------------------------------------------------------------------- */

const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();

function closings(plot) {
  const { ctx, bbox } = plot;
  ctx.save();
  ctx.fillStyle = colour("closed");
  for (const [, since, until] of charts.numbers.closings) {
    const left = Math.max(bbox.left, plot.valToPos(since, "x", true));
    const right = Math.min(bbox.left + bbox.width, plot.valToPos(until, "x", true));
    if (right > left) ctx.fillRect(left, bbox.top, right - left, bbox.height);
  }
  ctx.restore();
}

function read(plot) {
  const { idx } = plot.cursor;
  const { since, step, completed, failed, queued } = charts.numbers;
  const text = idx === null || idx === undefined ? "" :
    `${clock(new Date(since[idx] * 1000))}-${clock(new Date((since[idx] + step) * 1000))}: ` +
    `${completed[idx].toLocaleString("en")} answered, ${failed[idx].toLocaleString("en")} failed, ${queued[idx].toLocaleString("en")} waiting`;
  document.querySelector(".readout").textContent = text;
}

function options(height, series, hasTimes) {
  const axis = { stroke: colour("soft"), grid: { stroke: colour("line"), width: 1 }, ticks: { show: false }, font: "12px system-ui" };
  return {
    width: document.getElementById("plots").clientWidth,
    height,
    padding: [8, 18, hasTimes ? 0 : 8, 0],
    legend: { show: false },
    cursor: { y: false, points: { show: false }, drag: { x: false, y: false }, sync: { key: "past" } },
    scales: { x: { range: (_, low, high) => [low, high + charts.numbers.step] }, y: { range: (_, __, high) => [0, Math.max(1, high)] } },
    axes: [
      { ...axis, show: hasTimes, size: 24, grid: { show: false }, values: (_, ticks) => ticks.map((at) => clock(new Date(at * 1000))) },
      { ...axis, size: 40, space: 34, incrs: [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000, 20000, 50000] },
    ],
    series: [{}, ...series],
    hooks: { drawClear: [closings], setCursor: [read] },
  };
}

function data() {
  const { since, completed, failed, queued } = charts.numbers;
  return [[since, completed.map((number, place) => number + failed[place]), completed], [since, queued]];
}

function make(place) {
  const title = (text) => {
    const line = document.createElement("p");
    line.className = "axis soft";
    line.textContent = text;
    return line;
  };
  const bars = uPlot.paths.bars({ size: [0.86, 60], align: 1 });
  const steps = uPlot.paths.stepped({ align: 1 });
  const bar = (name) => ({ fill: colour(name), width: 0, paths: bars, points: { show: false } });
  const area = { stroke: colour("rest"), fill: `${colour("rest")}40`, width: 1.5, paths: steps, points: { show: false } };
  const each = duration(charts.numbers.step);
  place.replaceChildren(title(`Ended in ${each}`));
  const [ended, queued] = data();
  const upper = new uPlot(options(138, [bar("bad"), bar("good")], false), ended, place);
  place.append(title("Waiting"));
  const lower = new uPlot(options(94, [area], true), queued, place);
  return [upper, lower];
}

function draw(isAnew = false) {
  const place = document.getElementById("plots");
  if (!place || typeof uPlot === "undefined") return;
  const told = place.dataset.numbers;
  if (charts && charts.told === told && !isAnew) return;
  const isOther = !charts || isAnew || charts.numbers.step !== JSON.parse(told).step;
  charts?.plots && isOther && charts.plots.forEach((plot) => plot.destroy());
  charts = { ...charts, told, numbers: JSON.parse(told) };
  if (isOther) charts.plots = make(place);
  else charts.plots.forEach((plot, number) => plot.setData(data()[number]));
}

matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => draw(true));
new ResizeObserver(() => {
  const width = document.getElementById("plots")?.clientWidth;
  if (width) charts?.plots.forEach((plot) => plot.width !== width && plot.setSize({ width, height: plot.height }));
}).observe(document.getElementById("traffic"));

tick(document);
say();
draw();
listen();
setInterval(() => tick(document), 1000);
