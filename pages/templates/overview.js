"use strict";

const body = $("#runs tbody");
const rows = $$("tr", body);
const heads = $$("#runs th");

// On a phone, and if there is only one, runs are cards and not rows.

const phone = matchMedia("(max-width: 700px)");
const layOut = () => $("#runs").classList.toggle("cards", rows.length === 1 || phone.matches);
phone.addEventListener("change", layOut);
layOut();

// Sort: numbers as numbers; cells without a value come last.

function sort(column, descending) {
  const isEmpty = (text) => text === "" || text === "nan";
  rows.sort((one, two) => {
    const [a, b] = [one, two].map((row) => row.cells[column].dataset.sort);
    if (isEmpty(a) || isEmpty(b)) return isEmpty(a) - isEmpty(b);
    const order = isNaN(a) || isNaN(b) ? a.localeCompare(b, undefined, { numeric: true }) : a - b;
    return descending ? -order : order;
  });
  body.append(...rows);
  for (const [at, head] of heads.entries()) {
    head.ariaSort = at !== column ? null : descending ? "descending" : "ascending";
    for (const row of rows) row.cells[at].classList.toggle("sorted", at === column);
  }
}

for (const [column, head] of heads.entries()) {
  const button = $("button", head);
  if (!button) continue;
  button.onclick = () => sort(column, head.ariaSort === "ascending");
  $("#sort").append(make("option", { value: column, selected: head.ariaSort !== null }, button.textContent));
}
$("#sort").onchange = ({ target }) => sort(Number(target.value), heads[target.value].dataset.key === "started"); // on a phone

// Filter: show the rows that contain every word.

$("#filter").oninput = ({ target }) => {
  const words = target.value.toLowerCase().split(/\s+/);
  for (const row of rows) row.hidden = !words.every((word) => row.textContent.toLowerCase().includes(word));
};

// Compare two to four runs.

const ticked = () => rows.filter((row) => $("input", row).checked);
body.onchange = () => {
  const count = ticked().length;
  $("#compare").disabled = count < 2 || count > 4;
  $("#compare").textContent = count ? `Compare ${count} runs` : "Compare";
  $("#hint").textContent = count > 4 ? "at most four" : count < 2 ? "tick two to four runs to compare" : "";
};

$("#compare").onclick = async () => {
  try {
    await load("runs.js");
  } catch {
    $("#hint").textContent = "runs.js is missing: python -m pages writes it again";
    return;
  }
  const runs = ticked().map(({ dataset: { url } }) => ({ ...window.RUNS[url], url }));
  comparePictures(runs);
  compareSettings(runs);
  const dot = (colour) => make("i", { className: "dot", style: `background: var(${colour})` });
  $("#legend").replaceChildren(...runs.map(({ name }, at) => make("span", {}, dot(COLOURS[at]), name)));
  $("#comparison").showModal();
  plot($("#plots"), runs);
};
$("#close").onclick = () => $("#comparison").close();

const opened = new URLSearchParams(location.hash.slice(1)).getAll("compare"); // #compare=FOLDER&compare=FOLDER
for (const row of rows) $("input", row).checked = opened.includes(decodeURIComponent(row.dataset.url));
body.onchange();
if (opened.length) $("#compare").click();

/** Show a photo at the same epoch of each run, of those epochs that all runs have, or else that any has. */
function comparePictures(runs) {
  const own = runs.map(({ samples }) => epochsOf(samples.photos));
  const every = epochsOf(runs.flatMap(({ samples }) => samples.photos));
  const shared = every.filter((epoch) => own.every((epochs) => epochs.includes(epoch)));
  const epochs = shared.length ? shared : every;
  const names = [...new Set(runs.flatMap(({ samples }) => samples.photos.map(({ name }) => name)))];
  const frames = runs.map(({ samples }) => frame(samples.photos[0]?.pair ? "swipe" : "whole"));
  $("#pictures").replaceChildren(...runs.map(({ name }, at) => make("figure", {}, frames[at], make("figcaption", {}, name))));
  const photo = make("select", { ariaLabel: "Photo" }, ...names.map((name) => make("option", {}, name)));
  const slider = make("input", { type: "range", min: 0, max: epochs.length - 1, value: epochs.length - 1, ariaLabel: "Epoch" });
  const at = make("output");
  const update = () => {
    const epoch = epochs[slider.value];
    at.textContent = slider.ariaValueText = epoch === undefined ? "no images" : titleOf(epoch);
    for (const [place, { samples, name, url }] of runs.entries()) {
      const chosen = samples.photos.find((each) => each.name === photo.value);
      const image = chosen?.images[epoch];
      show(frames[place], image && `${url}/${image}`, `${name}: ${photo.value} at ${at.textContent}`);
    }
  };
  slider.oninput = photo.onchange = update;
  $("#place").replaceChildren(photo, slider, at);
  update();
}

/** Fill the table of settings; a setting that one of two methods lacks does not differ between them. */
function compareSettings(runs) {
  const keys = [...new Set(runs.flatMap(({ settings }) => Object.keys(settings)))];
  const lines = keys.map((key) => {
    const methods = runs.filter(({ settings }) => key in settings).map(({ settings }) => settings.method);
    const values = runs.map(({ settings }) => String(settings[key] ?? "–"));
    const differs = new Set(values.filter((_, at) => methods.includes(runs[at].settings.method))).size > 1;
    return make("tr", { className: differs ? "differs" : "equal" }, make("th", {}, key), ...values.map((value) => make("td", {}, value)));
  });
  const head = make("tr", {}, make("th"), ...runs.map(({ name }) => make("th", {}, name)));
  const fill = () => $("#settings").replaceChildren(head, ...lines.filter((line) => $("#all").checked || line.className === "differs"));
  $("#all").onchange = fill;
  fill();
}
