"use strict";

const $ = (selector, within = document) => within.querySelector(selector);
const $$ = (selector, within = document) => [...within.querySelectorAll(selector)];

/** An element with properties and children; texts are added as text, never as HTML. */
function make(tag, properties = {}, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
}

// Light and dark: as the system, until the button is pressed.

const root = document.documentElement;
const systemDark = matchMedia("(prefers-color-scheme: dark)");
let redraw = () => {};
let storage = {}; // a browser may refuse storage to pages from the disk
try {
  storage = localStorage;
} catch {}
root.dataset.theme = storage.theme || "";
$("#theme").onclick = () => {
  const isDark = root.dataset.theme ? root.dataset.theme === "dark" : systemDark.matches;
  storage.theme = root.dataset.theme = isDark ? "light" : "dark";
  redraw();
};
systemDark.addEventListener("change", () => redraw());

/** Load a script that lies beside the page. */
const load = (src) => new Promise((resolve, reject) => {
  document.head.append(make("script", { src, onload: resolve, onerror: reject }));
});

// Samples: the photo is the left half of an image, the result the right half.

/** The epochs at which there are images; "recon", the end of phase one, comes first. */
function epochsOf(photos) {
  const all = new Set(photos.flatMap(({ images }) => Object.keys(images)));
  return [...all].sort((a, b) => (b === "recon") - (a === "recon") || a - b);
}

const titleOf = (epoch) => (epoch === "recon" ? "phase one" : `epoch ${epoch}`);

/** A frame for an image: `part` is "swipe" (photo and result with a divider), "result" or "whole". */
function frame(part) {
  const isSwipe = part === "swipe";
  const layers = (isSwipe ? ["result", "photo"] : [part]).map((className) =>
    make("span", { className }, make("img", { draggable: false, decoding: "async", loading: isSwipe ? "eager" : "lazy" })));
  const element = make("span", { className: `frame ${part}` }, ...layers);
  if (isSwipe) {
    const divider = make("input", { type: "range", className: "divider", min: 0, max: 100, step: 0.5, value: 50, ariaLabel: "Divider: photo left, result right" });
    divider.oninput = () => element.style.setProperty("--cut", `${divider.value}%`);
    divider.onpointerup = () => divider.blur(); // so that the arrow keys still change the epoch
    element.append(make("span", { className: "line" }), divider);
  }
  const image = $("img", element);
  image.onload = () => {
    element.style.setProperty("--ratio", image.naturalWidth / (part === "whole" ? 1 : 2) / image.naturalHeight);
    element.classList.remove("broken");
  };
  image.onerror = () => {
    element.classList.add("broken");
    element.dataset.broken = `cannot show ${decodeURIComponent(image.getAttribute("src"))}`;
  };
  return element;
}

/** Put the image at `url` into a frame. */
function show(element, url, alt) {
  element.classList.toggle("broken", !url);
  element.dataset.broken = "no image at this epoch";
  for (const [layer, image] of $$("img", element).entries()) {
    image.alt = layer ? "" : alt;
    if (url) image.src = url;
    else image.removeAttribute("src");
  }
}

// Curves

const COLOURS = ["--one", "--two", "--three", "--four"]; // after Okabe and Ito: safe for colour blindness
const BESIDE = ["_std", "_photo", "_drawings"]; // columns in the plot of another column: its error, its references
const LAST = ["seconds", "images_per_second", "learning_rate"];

/** Draw one plot for each column of metrics.csv into `place`, with a curve for each run (of runs.js). */
async function plot(place, runs) {
  const columns = new Set(runs.flatMap((run) => Object.keys(run.curves)).filter((key) => key !== "phase" && key !== "epoch"));
  const isBeside = (key) => BESIDE.some((end) => key.endsWith(end) && columns.has(key.slice(0, -end.length)));
  const keys = [...columns].filter((key) => !isBeside(key)).sort((a, b) => LAST.indexOf(a) - LAST.indexOf(b));
  place.replaceChildren();
  if (!keys.length) return place.append("no metrics.csv to draw");
  try {
    if (!window.Plotly) await load(PLOTLY);
  } catch {
    return place.append("plotly.min.js is missing: python -m pages writes it again");
  }
  const boxes = keys.map((key) => {
    const box = make("div", { className: "plot", role: "img", ariaLabel: `Curve of ${key}` });
    const meaning = runs.map(({ meanings }) => meanings?.[key]).find(Boolean) || "";
    place.append(make("figure", {}, make("figcaption", {}, key.replaceAll("_", " ")), box, make("p", {}, meaning)));
    return box;
  });
  redraw = () => keys.forEach((key, at) => draw(boxes[at], key, runs));
  redraw();
}

/** Draw the curves of one column of metrics.csv. */
function draw(place, key, runs) {
  const colour = (name) => {
    place.style.color = `var(${name})`;
    return getComputedStyle(place).color;
  };
  const safe = (text) => text.replaceAll("&", "&amp;").replaceAll("<", "&lt;"); // plotly reads tags in labels
  // Epochs of phase two count from 1, as in the names of the samples; those of phase one are at 0 and below.
  const offsets = runs.map(({ curves }) => curves.phase?.filter((phase) => phase === 1).length || 0);
  const traces = runs.flatMap(({ name, curves }, at) => {
    const rows = (curves[key] || []).flatMap((value, row) => value === null ? [] : [row]); // measured epochs
    if (!rows.length) return [];
    const line = (column) => ({ x: rows.map((row) => row + 1 - offsets[at]), y: rows.map((row) => curves[column][row]) });
    const deviation = curves[`${key}_std`] && line(`${key}_std`).y;
    const main = {
      ...line(key),
      text: rows.map((row) => `phase ${curves.phase?.[row]}, epoch ${curves.epoch?.[row]}`),
      hovertemplate: `%{y:.5g}<br>%{text}<extra>${runs.length > 1 ? safe(name) : ""}</extra>`,
      mode: rows.length < 40 ? "lines+markers" : "lines",
      line: { color: colour(COLOURS[at]), width: 2 },
      marker: { size: 5 },
      error_y: { type: "data", array: deviation || [], visible: Boolean(deviation), thickness: 1 },
    };
    const references = ["photo", "drawings"].filter((of) => curves[`${key}_${of}`]).map((of) => ({
      ...line(`${key}_${of}`),
      hovertemplate: `%{y:.5g}, ${of === "photo" ? "the photographs" : "the drawings"}<extra></extra>`,
      mode: "lines",
      line: { color: colour("--soft"), width: 1, dash: of === "photo" ? "dot" : "dash" },
    }));
    return [main, ...references];
  });
  const changes = runs.flatMap(({ name, changes = [] }, at) => changes.map(({ after, text }) => ({
    x: after + 0.5 - offsets[at], text: (runs.length > 1 ? `${name}: ` : "") + text, colour: colour(runs.length > 1 ? COLOURS[at] : "--soft"),
  })));
  const start = -Math.max(...offsets);
  const end = Math.max(...runs.map(({ curves }, at) => (curves.phase || curves[key] || []).length - offsets[at]));
  const values = traces.flatMap(({ y }) => y).filter((value) => value !== null);
  const [low, high] = [Math.min(...values), Math.max(...values)];
  const flat = low === high && low ? { range: [low - Math.abs(low) / 2, low + Math.abs(low) / 2] } : {};
  const axis = { gridcolor: colour("--line"), zeroline: false, automargin: true, exponentformat: "e" };
  const shape = { xref: "x", yref: "paper", y0: 0, y1: 1 };
  Plotly.react(place, traces, {
    height: 200, margin: { l: 48, r: 8, t: 8, b: 32 }, showlegend: false, hovermode: "closest",
    paper_bgcolor: "transparent", plot_bgcolor: "transparent", separators: ".",
    font: { family: "system-ui, sans-serif", size: 12, color: colour("--soft") },
    xaxis: { ...axis, ...epochTicks(start, end), showgrid: false, range: [start + 0.5, end + 0.5] },
    yaxis: { ...axis, ...flat, nticks: 5 },
    shapes: [
      { ...shape, type: "rect", x0: start + 0.5, x1: 0.5, line: { width: 0 }, fillcolor: colour("--shade"), layer: "below" },
      ...changes.map(({ x, colour }) => ({ ...shape, type: "line", x0: x, x1: x, line: { width: 1, dash: "dot", color: colour } })),
    ],
    annotations: changes.map(({ x, text, colour }) => ({
      x, y: 1, yref: "paper", yanchor: "top", text: "▾", showarrow: false, font: { color: colour }, hovertext: safe(text),
    })),
  }, { displayModeBar: false, responsive: true });
}

/** About five ticks at round epochs of phase two; while there are none, at those of phase one. */
function epochTicks(start, end) {
  const [count, shift] = end > 0 ? [end, 0] : [-start, start];
  const power = 10 ** Math.floor(Math.log10(count / 5));
  const step = Math.max(1, [1, 2, 5, 10].map((factor) => factor * power).find((step) => step >= count / 5));
  const epochs = Array.from({ length: Math.floor(count / step) }, (_, at) => (at + 1) * step);
  return { tickmode: "array", tickvals: epochs.map((epoch) => epoch + shift), ticktext: epochs.map(String) };
}
