"use strict";

const $ = (selector, within = document) => within.querySelector(selector);
const $$ = (selector, within = document) => [...within.querySelectorAll(selector)];

/** An element with properties (those with a dash are attributes) and children; texts stay texts. */
function make(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [key, value] of Object.entries(properties)) {
    if (key.includes("-")) element.setAttribute(key, value);
    else element[key] = value;
  }
  element.append(...children);
  return element;
}

/** Let the text of an element break after each _ and /, as long names and paths should; the element. */
function breakable(element) {
  element.replaceChildren(...element.textContent.split(/(?<=[_/])/).flatMap((part) => [part, make("wbr")]));
  return element;
}
for (const element of $$(".run b, .setting span, th.setting button, .settings dd")) breakable(element);

// Light and dark: what the system says, until the button is pressed.

const dark = matchMedia("(prefers-color-scheme: dark)");
const isDark = () => (document.documentElement.dataset.theme || (dark.matches ? "dark" : "light")) === "dark";
const remember = (...theme) => {
  try {
    return theme.length ? localStorage.setItem("theme", ...theme) : localStorage.getItem("theme");
  } catch {
    return null; // a browser may refuse storage to pages from the disk
  }
};
document.documentElement.dataset.theme = remember() || "";
$("#theme").onclick = () => {
  document.documentElement.dataset.theme = isDark() ? "light" : "dark";
  remember(document.documentElement.dataset.theme);
  redraw();
};
dark.addEventListener("change", () => redraw());

// Scripts beside the page, loaded when they are needed.

const loading = {};
function load(url) {
  loading[url] ??= new Promise((resolve, reject) => {
    window.PAGE = undefined;
    // A script runs right before its load event, so PAGE is what this one has set.
    document.head.append(make("script", { src: url, onload: () => resolve(window.PAGE), onerror: reject }));
  });
  return loading[url];
}

// Samples: the photo is the left half of a picture, the result the right half.

/** Where the picture of a photo at an epoch lies ("recon": after phase one); null where there is none. */
function address(photo, epoch) {
  if (epoch === "recon") return photo.recon;
  for (const [pattern, epochs] of Object.entries(photo.epochs)) {
    const found = epochs.find((each) => Number(each) === epoch);
    if (found) return pattern.replace("{epoch}", found);
  }
  return null;
}

/** The epochs at which there are pictures, "recon" first if phase one left any. */
function epochsOf(photos) {
  const all = new Set(photos.flatMap((photo) => Object.values(photo.epochs).flat().map(Number)));
  const recon = photos.some((photo) => photo.recon) ? ["recon"] : [];
  return [...recon, ...[...all].sort((a, b) => a - b)];
}

const titleOf = (epoch) => (epoch === "recon" ? "phase one" : `epoch ${epoch}`);

/** A picture in a frame: `part` is "swipe" (photo and result with a divider), "result" or "whole". */
function frame(part) {
  const pictures = part === "swipe" ? ["result", "photo"] : [part];
  const layers = pictures.map((layer) =>
    make("span", { className: layer }, make("img", { draggable: false, decoding: "async", loading: part === "swipe" ? "eager" : "lazy" })));
  const element = make("span", { className: `frame ${part}` }, ...layers);
  if (part === "swipe") {
    const divider = make("input", { type: "range", className: "divider", min: 0, max: 100, step: 0.5, value: 50 });
    divider.setAttribute("aria-label", "Divider: photo left, result right");
    divider.oninput = () => element.style.setProperty("--cut", `${divider.value}%`);
    divider.onpointerup = () => divider.blur(); // so that the arrow keys go on changing epochs
    element.append(make("span", { className: "line" }), divider);
  }
  const images = $$("img", element);
  images[0].onload = () => {
    const { naturalWidth, naturalHeight } = images[0];
    element.style.setProperty("--ratio", naturalWidth / (part === "whole" ? 1 : 2) / naturalHeight);
    element.classList.remove("broken");
  };
  images[0].onerror = () => {
    element.classList.add("broken");
    element.dataset.broken = `cannot show ${decodeURIComponent(element.dataset.url)}`;
  };
  return element;
}

/** Put the picture at `url` into a frame. */
function show(element, url, alt) {
  element.classList.toggle("broken", !url);
  element.dataset.url = url || "";
  element.dataset.broken = url ? "" : "no picture at this epoch";
  for (const [place, image] of $$("img", element).entries()) {
    image.alt = place ? "" : alt;
    if (url) image.src = url;
    else image.removeAttribute("src");
  }
  return element;
}

// Curves

const COLOURS = ["--one", "--two", "--three", "--four"]; // after Okabe and Ito: told apart by most eyes
const NO_CURVE = ["phase", "epoch"];
const BESIDE = ["_std", "_photo", "_drawings"]; // columns that stand in the plot of another: its error, its references
const AT_THE_END = ["seconds", "images_per_second", "learning_rate"];
let redraw = () => {};

/** One plot a column of metrics.csv into `place`, a curve a run; the runs are page.js's. */
async function plot(place, runs) {
  const columns = new Set(runs.flatMap((run) => Object.keys(run.curves)).filter((key) => !NO_CURVE.includes(key)));
  const beside = (key) => BESIDE.some((end) => key.endsWith(end) && columns.has(key.slice(0, -end.length)));
  const ordered = [...columns].filter((key) => !beside(key)).sort((a, b) => AT_THE_END.indexOf(a) - AT_THE_END.indexOf(b));
  place.replaceChildren();
  if (!ordered.length) return place.append("no metrics.csv to draw");
  try {
    await load(PLOTLY);
  } catch {
    return place.append("plotly.min.js is missing: python -m pages writes it again");
  }
  redraw = () => ordered.forEach((key, at) => draw(places[at], key, runs));
  const places = ordered.map((key) => {
    const box = make("div", { className: "plot", role: "img" });
    box.setAttribute("aria-label", `Curve of ${key}`);
    const meaning = runs.map(({ meanings }) => meanings?.[key]).find(Boolean) || "";
    place.append(make("figure", {}, make("figcaption", {}, key.replaceAll("_", " ")), box, make("p", {}, meaning)));
    return box;
  });
  redraw();
}

function draw(place, key, runs) {
  const colour = (name) => {
    place.style.color = `var(${name})`;
    return getComputedStyle(place).color;
  };
  const safe = (text) => text.replaceAll("&", "&amp;").replaceAll("<", "&lt;"); // plotly reads tags in labels
  // Epochs count from 1 in phase two, as in the names of the samples; those of phase one are at 0 and below.
  const firsts = runs.map(({ curves }) => curves.phase?.filter((phase) => phase === 1).length || 0);
  const traces = runs.flatMap(({ name, curves }, at) => {
    const rows = (curves[key] || []).flatMap((value, row) => value === null ? [] : [row]); // not every epoch is measured
    if (!rows.length) return [];
    const line = (column) => ({ x: rows.map((row) => row + 1 - firsts[at]), y: rows.map((row) => curves[column][row]) });
    return [{
      ...line(key),
      text: rows.map((row) => `phase ${curves.phase?.[row]}, epoch ${curves.epoch?.[row]}`),
      hovertemplate: `%{y:.5g}<br>%{text}<extra>${runs.length > 1 ? safe(name) : ""}</extra>`,
      mode: rows.length < 40 ? "lines+markers" : "lines",
      line: { color: colour(COLOURS[at]), width: 2 },
      marker: { size: 5 },
      error_y: { type: "data", array: `${key}_std` in curves ? line(`${key}_std`).y : [], visible: `${key}_std` in curves, thickness: 1 },
    }, ...["photo", "drawings"].flatMap((of) => curves[`${key}_${of}`] ? [{
      ...line(`${key}_${of}`),
      hovertemplate: `%{y:.5g}, ${of === "photo" ? "the photographs" : of}<extra></extra>`,
      mode: "lines",
      line: { color: colour("--soft"), width: 1, dash: of === "photo" ? "dot" : "dash" },
    }] : [])];
  });
  const [start, end] = [-Math.max(...firsts), Math.max(...runs.map(({ curves }, at) => (curves.phase || curves[key] || []).length - firsts[at]))];
  const shade = { type: "rect", xref: "x", yref: "paper", x0: start + 0.5, x1: 0.5, y0: 0, y1: 1, line: { width: 0 } };
  const changes = runs.flatMap(({ name, changes = [] }, at) => changes.map(({ after, text }) => ({
    x: after + 0.5 - firsts[at], text: (runs.length > 1 ? `${name}: ` : "") + text, colour: colour(runs.length > 1 ? COLOURS[at] : "--soft"),
  })));
  const values = traces.flatMap(({ y }) => y).filter((value) => value !== null);
  const [low, high] = [Math.min(...values), Math.max(...values)];
  const flat = low === high && low ? { range: [low, high].map((value, at) => value + (at - 0.5) * Math.abs(value)) } : {};
  const [last, shift] = end > 0 ? [end, 0] : [-start, start]; // while phase one lasts, its epochs are counted
  const power = 10 ** Math.floor(Math.log10(last / 5));
  const step = Math.max(1, ...[1, 2, 5, 10].map((factor) => factor * power).filter((step) => step >= last / 5).slice(0, 1));
  const ticks = Array.from({ length: Math.floor(last / step) }, (_, at) => (at + 1) * step);
  const axis = { gridcolor: colour("--line"), zeroline: false, automargin: true, exponentformat: "e" };
  Plotly.react(place, traces, {
    height: 200, margin: { l: 48, r: 8, t: 8, b: 32 }, showlegend: false, hovermode: "closest",
    paper_bgcolor: "transparent", plot_bgcolor: "transparent",
    font: { family: "system-ui, sans-serif", size: 12, color: colour("--soft") },
    xaxis: {
      ...axis, showgrid: false, range: [start + 0.5, end + 0.5],
      tickmode: "array", tickvals: ticks.map((epoch) => epoch + shift), ticktext: ticks.map(String),
    },
    yaxis: { ...axis, ...flat, nticks: 5 }, separators: ".",
    shapes: [
      ...(start ? [{ ...shade, fillcolor: colour("--shade"), layer: "below" }] : []),
      ...changes.map(({ x, colour }) => ({ ...shade, type: "line", x0: x, x1: x, line: { width: 1, dash: "dot", color: colour } })),
    ],
    annotations: changes.map(({ x, text, colour }) => ({
      x, y: 1, yref: "paper", yanchor: "top", text: "▾", showarrow: false, font: { color: colour }, hovertext: safe(text),
    })),
  }, { displayModeBar: false, responsive: true });
}
