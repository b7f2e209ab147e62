// What is asked of a generator, what it makes of it, and nothing of how that is made or of what kind it is. The first is
// generator.js, on the server rest.js, in a web export litert.js; each kind is a file in kinds/. A generator has
//   load(waits) -> {name, model, dataset, step, directions: how many, truncation: whether there is such a thing, limits or none,
//     functions: {NAME: {inputs: [field], outputs: [field]}}}; field: {name, kind, shape, range, size, classes}
//   image(place, side) -> picture of a sample, if it is a plot of about `side` pixels, of the first function where it takes noise and a class alone; place: {seed, to: seed
//     or null, at: 0 … 1, directions: [offsets], truncation: bound of the noise or null}, and what other inputs hold by name
//   make(function's name, place, output's field) -> what the output's kind shows
//   copied: {what, text(place, function's name, whether its address is all)}: what the copy button is to copy; null: nothing
//   gif(place) -> address of the way from seed to `to`, or null
//   about: a sentence for the foot of the page
//   renewed(change): from then on `change` is called when another model makes what is asked for, and what load() gave has changed
// While load() waits it calls `waits` with a sentence for people.
// The first three may reject with an Error whose message is for people; `part` then names an input, if it is about one.
// A kind has, as an input, control(field, page) -> {elements, ready(), add(place), write(query), restore(query), refresh(),
// words(place), file(place)} (restore gives a list of what in the address was no use), part(value) for a form and values(value, field)
// for a tensor; as an output, view(field, page) -> {element, show(sample, place), save(scale) -> {blob, suffix}, scales: whether that
// may be more than 1}, media and read(blob), or made(values, shape, …, field), to what it shows.
import {kindOf, latest} from "./dom.js";

const LIST = new Intl.ListFormat("en");
const $ = id => document.getElementById(id);

let generator, info, name, asks, views, noise = null;
let controls = [];  // one an input
let direct = false;  // whether a sample is a picture that needs nothing but an address
let odd = ["", ""];  // what is said until a visitor sets something: the text, and "wrong" if it is about what was set last
const address = {wanted: "", resting: null};  // of the page: what is to stand there, and whether it may not be changed yet

// === Drawing ===

async function attempt(work) {
  try {
    await work();
    tell(...odd);
  } catch (error) {
    noise?.stop();
    const told = controls.find(control => control.complain && control.field.name === error.part);
    if (told) return told.complain(error.message);
    tell(error.message, "wrong");
  }
}

// What went wrong, or is waited for; "": nothing.
function tell(text, kind = "") {
  if (text && text !== $("message").textContent) aloud(text);
  $("message").textContent = text;
  $("message").className = `${kind} ${info ? "over" : ""}`;
  $("message").hidden = !text;
}

// Says what of a visitor's values cannot be taken, in place of taking another in silence; or what has changed by itself.
function wrong(text, kind = "wrong") {
  odd = [text, kind];
  tell(...odd);
}

function aloud(text) {
  $("live").textContent = text;
}

// What the generator is asked for. Whoever has seeds of its own gives its place.
function asked(place = noise?.place() ?? {}) {
  const found = {...place};
  for (const control of controls) control.add?.(found);
  return found;
}

const draw = latest(() => attempt(async () => {
  if (!controls.every(control => control.ready())) return;
  const wanted = asked();
  const samples = await waiting(Promise.all(views.map(({field}) =>
    direct ? generator.image(wanted) : generator.make(name, wanted, field))));
  views.forEach((view, i) => view.show(samples[i], wanted));
  $("picture")?.setAttribute("aria-label", words(wanted));
  $("download").disabled = false;
  if (!noise?.playing) say(words(wanted));
}));

// The promise; what takes longer than a blink is seen to be under way.
async function waiting(promise) {
  const timer = setTimeout(() => {
    $("busy").hidden = false;
    $("stage").setAttribute("aria-busy", true);
  }, 250);
  try {
    return await promise;
  } finally {
    clearTimeout(timer);
    $("busy").hidden = true;
    $("stage").removeAttribute("aria-busy");
  }
}

function words(place) {
  const found = controls.filter(control => !(noise && control.small)).flatMap(control => control.words(place));
  const text = found.filter(Boolean).join(", ");
  return text.charAt(0).toUpperCase() + text.slice(1);
}

function say(text) {
  if (text !== $("status").textContent) aloud(text);
  $("status").textContent = text;
}

// === The state and the address ===

// Everything that follows from the state.
function changed() {
  odd = ["", ""];
  const query = new URLSearchParams(asks.length > 1 ? {function: name} : {});
  for (const control of controls) if (!(noise && control.small)) control.write?.(query);
  const text = String(query).replaceAll("%2C", ",");
  remember(text ? `#${text}` : " ");
  for (const control of controls) control.refresh?.();
  $("copied").hidden = true;
  $("copy").disabled = !controls.every(control => control.ready());
  draw();
}

// At once, and then not for a while: browsers refuse a page that changes its address as often as a slider moves.
function remember(hash) {
  address.wanted = hash;
  if (address.resting) return;
  history.replaceState(null, "", hash === " " ? location.pathname + location.search : hash);
  address.resting = setTimeout(() => {
    address.resting = null;
    if (address.wanted !== hash) remember(address.wanted);
  }, 400);
}

async function restore() {
  const query = new URLSearchParams(location.hash.slice(1)), wanted = query.get("function") ?? asks[0];
  if (wanted !== name) await mount(asks.includes(wanted) ? wanted : asks[0]);
  $("function").value = name;
  const lost = controls.flatMap(control => control.restore?.(query) ?? []);
  if (query.has("function") && wanted !== name) lost.push(`function=${wanted}, which is none of ${asks.join(", ")}`);
  changed();
  noise?.drawAll();
  if (lost.length) wrong(`Left out of this page's address: ${lost.join("; ")}.`);
}

// === Controls ===

// One control an input, one view an output.
async function mount(wanted) {
  name = wanted;
  const {inputs, outputs} = info.functions[name], kinds = inputs.map(({kind}) => kind).sort().join();
  const many = name === asks[0] && ["noise", "label,noise"].includes(kinds);
  const page = {
    info, generator, many, turns: kinds.split(",").includes("noise"), inputs, asked, attempt, changed, draw, say, words, wrong,
    inTurn: () => controls.some(control => control.inTurn?.()), drawAll: () => noise?.drawAll(),
    writeSmall: query => controls.forEach(control => control.small && control.write(query)),
  };
  $("controls").querySelectorAll(".mounted").forEach(node => node.remove());
  noise = null;
  controls = await Promise.all(inputs.map(async field => {
    const {control} = await kindOf(field);
    if (!control) throw new Error(`This page has no control for ${field.kind}: programs may ask for ${name} all the same.`);
    return Object.assign(control(field, page), {field});
  }));
  for (const control of controls) {
    if (control.place) noise = control;
    if (control.small) continue;
    control.elements.forEach(node => node.classList.add("mounted"));
    $("controls").append(...control.elements);
  }
  const small = controls.filter(control => control.small).flatMap(control => control.elements);
  if (small.length && !noise) {
    const section = Object.assign(document.createElement("section"), {className: "mounted"});
    section.append(...small);
    $("controls").append(section);
  }
  noise && document.getElementById("slot").append(...small);
  for (const control of controls) control.mounted?.();

  const modules = await Promise.all(outputs.map(kindOf));
  direct = many && modules[0].flat === true;
  views = (direct ? outputs.slice(0, 1) : outputs).map((field, i) => Object.assign(modules[i].view(field, page), {field}));
  $("figures").replaceChildren(...views.map(view => view.element));
  $("download").textContent = `Download ${views[0].saves}`;
  $("download").disabled = true;
  $("enlarged").hidden = !views[0].scales;
  $("copy").hidden = generator.copied.what === null;
  await facts();
}

async function facts() {
  const {inputs, outputs} = info.functions[name];
  const makes = (await kindOf(outputs[0])).words(outputs[0]), from = (await Promise.all(inputs.map(async field =>
    (await kindOf(field)).source(field)))).filter(Boolean);
  const classes = inputs.find(field => field.classes)?.classes, step = info.step && `step ${info.step.toLocaleString("en")}`;
  $("facts").textContent = [info.model, info.dataset, step, from.length ? `${makes} from ${LIST.format(from)}` : makes,
                            classes && `${classes.length} classes`].filter(Boolean).join(" · ");
}

function choose() {
  $("functions").hidden = asks.length < 2;
  $("function").append(...asks.map(each => new Option(each.replaceAll("_", " "), each)));
  $("function").onchange = () => attempt(async () => {
    await mount($("function").value);
    changed();
    noise?.drawAll();
  });
}

// A name that says what it is of.
function file(suffix) {
  const wanted = asked(), parts = controls.map(control => control.file?.(wanted)).filter(Boolean);
  return `${[info.name, ...(asks.length > 1 ? [name] : []), ...parts].join("-")}${suffix}`;
}

async function download() {
  for (const view of views) {
    const {blob, suffix} = await view.save(view.scales ? Number($("scale").value) : 1);
    const link = Object.assign(document.createElement("a"), {href: URL.createObjectURL(blob)});
    link.download = file(views.length > 1 ? `-${view.field.name}${suffix}` : suffix);
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10_000);  // it may still be read
    say(`Saved as ${link.download}`);
  }
}

async function copy() {
  const field = $("copied");
  field.value = await generator.copied.text(asked(), name, direct);
  field.hidden = false;
  field.select();
  try {
    await navigator.clipboard.writeText(field.value);
    say(`Copied: the ${generator.copied.what}`);
  } catch {  // no https, or not allowed
    say("The browser does not let the page copy: it is selected below, copy it from there");
  }
}

// Another model answers: what is shown would be of two. Its functions are the same, or the page begins anew.
let before = "";
async function renew() {
  if (JSON.stringify(info.functions) !== before) return location.reload();
  for (const control of controls) control.renew?.();
  await facts();
  changed();
  noise?.drawAll();
  wrong(`Another version of the generator is served now${info.step ? `, of step ${info.step.toLocaleString("en")}` : ""}: `
        + "all pictures are drawn by it.", "");
}

// === Start ===

$("late").remove();
tell("Loading the generator …");
attempt(async () => {
  try {
    generator = await import("./generator.js");
  } catch (error) {
    throw new Error(`generator.js, or a file that it needs, does not come (${error.message}): is the whole folder there, and the `
                    + "server running? Then load the page again.");
  }
  const found = await generator.load(tell);
  tell("");
  info = found;
  before = JSON.stringify(info.functions);
  generator.renewed?.(() => attempt(renew));
  asks = Object.keys(info.functions);
  document.title = $("name").textContent = info.name;
  $("about").textContent = generator.about;
  $("copy").textContent = `Copy ${generator.copied.what}`;
  document.querySelector("main").hidden = false;
  choose();
  $("download").onclick = () => attempt(download);
  $("copy").onclick = () => attempt(copy);
  window.addEventListener("hashchange", () => attempt(restore));
  await restore();
});
