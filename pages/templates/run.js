"use strict";

const page = window.PAGE;
const { photos, others } = page ? page.samples : { photos: [], others: [] };
const epochs = epochsOf(photos);
if (!page) $("main").prepend(make("p", { className: "problems" }, "page.js is missing: python -m pages writes it again"));

// Samples

const slider = $("#epoch");
let photo = photos[0];
let stage, timer;
const loaded = new Promise((resolve) => addEventListener("load", resolve)); // the large picture comes first
const epoch = () => epochs[slider.value];
const alt = (each) => `${each.name} at ${titleOf(epoch())}${each.pair ? ": photo left, result right" : ""}`;

function choose(each) {
  const part = each.pair ? "swipe" : "whole";
  if (!stage || !stage.classList.contains(part)) $("#stage").replaceChildren((stage = frame(part)));
  photo = each;
  for (const button of $$("#photos button")) button.ariaPressed = String(button.photo === photo);
  update();
  loaded.then(fillStrip);
}

function fillStrip() {
  const strip = epochs.filter((at) => address(photo, at)).map((at) => {
    const picture = show(frame(photo.pair ? "result" : "whole"), address(photo, at), `${photo.name}, ${titleOf(at)}`);
    const button = make("button", { onclick: () => move(epochs.indexOf(at)) }, picture, make("span", {}, titleOf(at)));
    button.epoch = at;
    return button;
  });
  $("#strip").replaceChildren(...strip);
  $("#strip-of").textContent = photo.name;
  markStrip();
}

function markStrip() {
  for (const button of $$("#strip button")) {
    const here = button.epoch === epoch();
    button.ariaCurrent = String(here);
    if (here) $("#strip").scrollLeft = button.offsetLeft - $("#strip").clientWidth / 2 + button.clientWidth / 2;
  }
}

function move(place) {
  slider.value = place;
  update();
}

function update() {
  $("#at").textContent = slider.ariaValueText = titleOf(epoch());
  show(stage, address(photo, epoch()), alt(photo));
  markStrip();
  clearTimeout(timer); // the small pictures follow when the slider rests
  timer = setTimeout(() => loaded.then(rest), 150);
}

function rest() {
  history.replaceState(null, "", `#${new URLSearchParams({ epoch: epoch(), photo: photo.name })}`); // for a reload
  $("#all-at").textContent = titleOf(epoch());
  for (const button of $$("#photos button")) show($(".frame", button), address(button.photo, epoch()), alt(button.photo));
}

let playing;
function play(on) {
  clearInterval(playing);
  playing = on ? setInterval(() => $("img", stage).complete && move((Number(slider.value) + 1) % epochs.length), 400) : 0;
  $("#play").textContent = on ? "❚❚" : "▶";
  $("#play").ariaLabel = on ? "Pause" : "Play";
}

if (epochs.length) {
  $("#samples").hidden = false;
  slider.max = epochs.length - 1;
  slider.oninput = update;
  $("#play").onclick = () => play(!playing);
  $("#photos").append(...photos.map((each) => {
    const button = make("button", { onclick: () => choose(each) }, frame(each.pair ? "result" : "whole"), make("span", {}, each.name));
    button.photo = each;
    return button;
  }));
  const asked = new URLSearchParams(location.hash.slice(1));
  const place = epochs.findIndex((each) => String(each) === asked.get("epoch"));
  slider.value = place < 0 ? epochs.length - 1 : place;
  const named = (name) => photos.find((each) => each.name === name);
  choose(named(asked.get("photo")) || named(page.first) || photo);
  document.addEventListener("keydown", (event) => {
    if (event.target.matches("input, .strip") || event.ctrlKey || event.metaKey || event.altKey) return;
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (step) move(Number(slider.value) + step);
    else if (event.key === " " && !event.target.matches("button, a, summary")) play(!playing);
    else return;
    event.preventDefault();
  });
}

// Pictures whose names tell no epoch

if (others.length) {
  $("#others").hidden = false;
  $("#others .grid").append(...others.map((url) => {
    const name = decodeURIComponent(url);
    return make("a", { href: url }, make("img", { loading: "lazy", decoding: "async", alt: name, src: url }), make("span", {}, name.split("/")[1]));
  }));
}

// Curves, drawn when they come into view: plotly is a script of some megabytes.

if (page) {
  $("#curves").hidden = false;
  const curves = new IntersectionObserver((seen) => {
    if (!seen.some((each) => each.isIntersecting)) return;
    curves.disconnect();
    plot($("#curves .plots"), [page]);
  });
  loaded.then(() => curves.observe($("#curves"))); // before, the pictures above have no height
}
