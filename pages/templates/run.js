"use strict";

const { photos, others } = page.samples;
const epochs = epochsOf(photos);

// Samples

const slider = $("#epoch");
let photo, stage, timer, playing;
const epoch = () => epochs[slider.value];
const alt = (each) => `${each.name} at ${titleOf(epoch())}${each.pair ? ": photo left, result right" : ""}`;

/** A button with a small image and a title; `key` is the photo or the epoch that it chooses. */
function imageButton(key, pair, title, onclick) {
  return make("button", { key, onclick }, frame(pair ? "result" : "whole"), make("span", {}, title));
}

function choose(chosen) {
  photo = chosen;
  $("#stage").replaceChildren((stage = frame(photo.pair ? "swipe" : "whole")));
  for (const button of $$("#photos button")) button.ariaPressed = String(button.key === photo);
  $("#strip-of").textContent = photo.name;
  $("#strip").replaceChildren(...epochs.filter((at) => photo.images[at]).map((at) => {
    const button = imageButton(at, photo.pair, titleOf(at), () => move(epochs.indexOf(at)));
    show($(".frame", button), photo.images[at], `${photo.name}, ${titleOf(at)}`);
    return button;
  }));
  update();
}

function markStrip() {
  for (const button of $$("#strip button")) {
    button.ariaCurrent = String(button.key === epoch());
    if (button.key !== epoch()) continue;
    $("#strip").scrollLeft = button.offsetLeft - $("#strip").clientWidth / 2 + button.clientWidth / 2;
  }
}

function move(place) {
  slider.value = place;
  update();
}

function update() {
  $("#at").textContent = slider.ariaValueText = titleOf(epoch());
  show(stage, photo.images[epoch()], alt(photo));
  markStrip();
  clearTimeout(timer); // the small images follow when the slider rests
  timer = setTimeout(updatePhotos, 150);
}

function updatePhotos() {
  history.replaceState(null, "", `#${new URLSearchParams({ epoch: epoch(), photo: photo.name })}`); // for a reload
  $("#all-at").textContent = titleOf(epoch());
  for (const button of $$("#photos button")) show($(".frame", button), button.key.images[epoch()], alt(button.key));
}

function togglePlay() {
  clearInterval(playing);
  const next = () => $("img", stage).complete && move((Number(slider.value) + 1) % epochs.length);
  playing = playing ? 0 : setInterval(next, 400);
  $("#play").textContent = playing ? "❚❚" : "▶";
  $("#play").ariaLabel = playing ? "Pause" : "Play";
}

if (epochs.length) {
  $("#samples").hidden = false;
  slider.max = epochs.length - 1;
  slider.oninput = update;
  $("#play").onclick = togglePlay;
  $("#photos").append(...photos.map((each) => imageButton(each, each.pair, each.name, () => choose(each))));
  const wanted = new URLSearchParams(location.hash.slice(1));
  const place = epochs.indexOf(wanted.get("epoch"));
  slider.value = place < 0 ? epochs.length - 1 : place;
  const named = (name) => photos.find((each) => each.name === name);
  choose(named(wanted.get("photo")) || named(page.first) || photos[0]);
  document.addEventListener("keydown", (event) => {
    if (event.target.matches("input, .strip") || event.ctrlKey || event.metaKey || event.altKey) return;
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (step) move(Number(slider.value) + step);
    else if (event.key === " " && !event.target.matches("button, a, summary")) togglePlay();
    else return;
    event.preventDefault();
  });
}

// Images whose names give no epoch

$("#others").hidden = !others.length;
$("#others .grid").append(...others.map((url) => {
  const name = decodeURIComponent(url).split("/")[1];
  return make("a", { href: url }, make("img", { loading: "lazy", decoding: "async", alt: name, src: url }), make("span", {}, name));
}));

// Curves, drawn when they come into view: plotly is a script of some megabytes.

const observer = new IntersectionObserver((entries) => {
  if (!entries.some((entry) => entry.isIntersecting)) return;
  observer.disconnect();
  plot($("#curves .plots"), [page]);
});
observer.observe($("#curves"));
