// What is chosen, its picture, and nothing of how it is made. That is generator.js: on the server rest.js, in a web
// export litert.js. Either has
//   load() -> {name, model, dataset, step, output: {shape}, noise: {kind, dim}, directions: how many, label: {classes} or
//     null, truncation: whether there is such a thing}
//   image(place) -> what drawImage takes; place: {seed, to: seed or null, at: 0 … 1, directions: [offsets], label: name of a
//     class or null if there are none, truncation: bound of the noise or null}
//   copied: {what, text(place)}: what the copy button is to copy
//   gif(place) -> address of the way from seed to `to`, or null
//   about: a sentence for the foot of the page
// The first three may reject with an Error whose message is for people.
const LARGEST = 2 ** 31 - 1, TILES = 24, REACH = 3, STEPS = 25, CUT = [0.1, 2];
const $ = id => document.getElementById(id);

const place = {seed: 0, to: null, at: 0, directions: [], label: null, truncation: null};  // label null: each in turn
let first = 0;  // seed of the first sample in the grid
let generator, info;
let whole = true;  // false: some picture of the grid failed, and is to be tried again
const address = {wanted: "", resting: null};  // of the page: what is to stand there, and whether it may not be changed yet
let later = null;  // timer of what is drawn anew once a slider rests
let playing = null;  // an object of its own for each time, so that a loop knows when it is no longer meant

// === Drawing ===

function show(canvas, picture) {
  canvas.width = picture.width;
  canvas.height = picture.height;
  // larger than it is, a photograph or a plot is smoothed, and pixels are shown as such
  canvas.classList.toggle("small", picture.width < Math.min(256, canvas.clientWidth));
  canvas.getContext("2d").drawImage(picture, 0, 0);
}

// The newest wish alone is fulfilled: sliders wish more often than a generator draws.
function latest(work) {
  let running = null, again = false;
  return () => {
    again = true;
    running ??= (async () => {
      while (again) {
        again = false;
        await attempt(work);
      }
      running = null;
    })();
    return running;
  };
}

async function attempt(work) {
  try {
    await work();
    $("message").hidden = true;
  } catch (error) {
    playing = null;
    $("message").textContent = error.message;
    $("message").className = "wrong";
    $("message").hidden = false;
  }
}

// What the generator is asked for. In turn, each seed has a class of its own, and the way from it stays in that.
function asked(values) {
  const {label, truncation} = place, classes = info.label?.classes;
  return {...values, label: classes ? label ?? classes[values.seed % classes.length] : null, truncation};
}

const draw = latest(async () => {
  const wanted = asked({...place, directions: [...place.directions]});
  show($("picture"), await generator.image(wanted));
  $("picture").setAttribute("aria-label", words(wanted));
  if (!playing) $("status").textContent = words(wanted);
});

const drawEnds = latest(async () => {
  const {seed, to} = place;
  const start = asked({seed});
  show($("a"), await generator.image(start));
  if (to !== null) show($("b"), await generator.image({...start, seed: to}));
  $("b").classList.toggle("empty", to === null);
});

const drawGrid = latest(async () => {
  const {label, truncation} = place, start = first, tiles = [...$("grid").children];
  tiles.forEach((tile, i) => {
    tile.value = (start + i) % (LARGEST + 1);
    const wanted = asked({seed: Number(tile.value)});
    const [, number, kind] = tile.children;
    number.textContent = tile.value;
    kind.textContent = label === null ? wanted.label : "";
    tile.title = wanted.label ?? "";
    tile.setAttribute("aria-label", words(wanted));
  });
  mark();
  whole = true;
  // a few at once: a server answers many, and a browser has one processor for all
  await Promise.all(Array.from({length: 4}, async () => {
    while (tiles.length && start === first && label === place.label && truncation === place.truncation) {
      const tile = tiles.shift();
      show(tile.firstChild, await generator.image(asked({seed: Number(tile.value)})));
    }
  })).catch(error => {
    whole = false;
    throw error;
  });
});

function words({seed, to = null, at, directions = [], label, truncation}) {
  return [
    to === null ? `Seed ${seed}` : `${Math.round(100 * at)} % of the way from seed ${seed} to ${to}`,
    label !== null && `class ${label}`, directions.some(Boolean) && "moved along directions",
    truncation !== null && `truncated at ${truncation}`].filter(Boolean).join(", ");
}

// === The state and the address ===

function change(values) {
  Object.assign(place, values);
  refresh();
}

// Everything that follows from the state.
function refresh() {
  const {seed, to, at, directions, label, truncation} = place;
  const query = new URLSearchParams({seed});
  if (to !== null) {
    query.set("to", to);
    query.set("at", at);
  }
  if (directions.some(Boolean)) query.set("directions", directions);
  if (label !== null) query.set("label", label);
  if (truncation !== null) query.set("truncation", truncation);
  if (first) query.set("first", first);
  remember(`#${String(query).replaceAll("%2C", ",")}`);

  $("seed").value = seed;
  $("to").value = to ?? "";
  $("at").value = at;
  $("back").disabled = first === 0;
  $("at").disabled = $("play").disabled = to === null;
  document.querySelectorAll("#sliders input").forEach((slider, k) => {
    slider.value = directions[k];
    slider.nextElementSibling.textContent = directions[k].toFixed(1);
  });
  $("label").value = label === null ? "" : info.label.classes.indexOf(label);
  $("truncation").value = truncation ?? $("truncation").max;
  $("cut").querySelector("output").textContent = truncation?.toFixed(1) ?? "off";
  $("truncation").setAttribute("aria-valuetext", truncation?.toFixed(1) ?? "off");
  const gif = generator.gif(asked(place));
  $("gif").hidden = gif === null;
  if (gif !== null) $("gif").href = gif;
  $("copied").hidden = true;
  mark();
  draw();
  if (!whole) drawGrid();
}

// At once, and then not for a while: browsers refuse a page that changes its address as often as a slider moves.
function remember(hash) {
  address.wanted = hash;
  if (address.resting) return;
  history.replaceState(null, "", hash);
  address.resting = setTimeout(() => {
    address.resting = null;
    if (address.wanted !== hash) remember(address.wanted);
  }, 400);
}

function mark() {
  for (const tile of $("grid").children) {
    const seed = Number(tile.value);
    tile.dataset.is = (seed === place.seed ? "A" : "") + (seed === place.to ? "B" : "");
    tile.setAttribute("aria-pressed", Boolean(tile.dataset.is));
  }
}

function restore() {
  const query = new URLSearchParams(location.hash.slice(1));
  const offsets = (query.get("directions") ?? "").split(",").map(Number), cut = Number(query.get("truncation"));
  first = integer(query.get("first")) ?? 0;
  place.seed = integer(query.get("seed")) ?? 0;
  place.to = integer(query.get("to"));
  place.at = limited(Number(query.get("at")), 0, 1);
  place.directions = Array.from({length: info.directions}, (_, k) => limited(offsets[k], -REACH, REACH));
  place.label = info.label?.classes.find(name => name === query.get("label")) ?? null;
  place.truncation = info.truncation && cut >= CUT[0] && cut <= CUT[1] ? cut : null;
  refresh();
  drawEnds();
  drawGrid();
}

const integer = text => /^\d{1,10}$/.test(text ?? "") && Number(text) <= LARGEST ? Number(text) : null;
const limited = (value, low, high) => Number.isFinite(value) ? Math.min(high, Math.max(low, value)) : 0;
const random = () => Math.floor(Math.random() * (LARGEST + 1));

// What is picked is what is seen.
function pick(which, seed) {
  playing = null;
  change({[which]: seed, at: which === "to" && seed !== null ? 1 : 0});
  drawEnds();
}

// === Controls ===

function build() {
  $("grid").append(...Array.from({length: TILES}, (_, i) => {
    const tile = Object.assign(document.createElement("button"), {type: "button", className: "tile"});
    tile.tabIndex = i ? -1 : 0;  // one stop for the tab key; arrows go on from there
    const canvas = Object.assign(document.createElement("canvas"), {width: 1, height: 1});
    tile.append(canvas, document.createElement("span"), document.createElement("span"));
    return tile;
  }));
  $("sliders").append(...Array.from({length: info.directions}, (_, k) => {
    const label = Object.assign(document.createElement("label"), {className: "slider"});
    const name = document.createElement("span");
    const slider = Object.assign(document.createElement("input"), {type: "range", min: -REACH, max: REACH, step: 0.1});
    name.textContent = `Direction ${k + 1}`;
    label.append(name, slider, document.createElement("output"));
    slider.addEventListener("input", () => change({directions: place.directions.with(k, Number(slider.value))}));
    return label;
  }));
  $("directions").hidden = !info.directions;
  const classes = info.label?.classes ?? [];
  $("label").append(...classes.map((name, i) => new Option(name, i)));
  $("class").hidden = !classes.length;
  $("cut").hidden = !info.truncation;
}

function listen() {
  $("random").onclick = () => pick("seed", random());
  $("random-to").onclick = () => pick("to", random());
  $("seed").onchange = () => pick("seed", integer($("seed").value) ?? place.seed);
  $("to").onchange = () => pick("to", integer($("to").value));
  $("at").oninput = () => {
    playing = null;
    change({at: Number($("at").value)});
  };
  $("label").onchange = () => {
    change({label: info.label.classes[$("label").value] ?? null});
    drawEnds();
    drawGrid();
  };
  $("truncation").oninput = () => {
    const bound = Number($("truncation").value);
    change({truncation: bound > CUT[1] ? null : bound});
    clearTimeout(later);
    later = setTimeout(() => {
      drawEnds();
      drawGrid();
    }, 150);
  };
  $("reset").onclick = () => change({directions: place.directions.fill(0)});
  $("more").onclick = () => turn(TILES);
  $("back").onclick = () => turn(-TILES);
  $("play").onclick = play;
  $("download").onclick = download;
  $("copy").onclick = () => attempt(copy);
  $("grid").onclick = event => {
    const tile = event.target.closest("button");
    if (tile) pick(document.querySelector("[name=pick]:checked").value, Number(tile.value));
  };
  $("grid").onkeydown = event => {
    const tiles = [...$("grid").children], from = tiles.indexOf(document.activeElement);
    const columns = tiles.filter(tile => tile.offsetTop === tiles[0].offsetTop).length;
    const step = {ArrowLeft: -1, ArrowRight: 1, ArrowUp: -columns, ArrowDown: columns, Home: -from,
                  End: tiles.length - 1 - from}[event.key];
    if (step === undefined) return;
    event.preventDefault();
    focus(tiles[from + step] ?? tiles[from]);
  };
  $("grid").onfocusin = event => focus(event.target);
  window.addEventListener("hashchange", restore);
}

function focus(tile) {
  for (const other of $("grid").children) other.tabIndex = other === tile ? 0 : -1;
  if (tile !== document.activeElement) tile.focus();
}

function turn(by) {
  first = Math.max(0, Math.min(LARGEST + 1 - TILES, first + by));
  refresh();
  drawGrid();
}

// There and back until stopped, no faster than the generator draws.
async function play() {
  if (playing) {
    playing = null;
    return;
  }
  const mine = playing = {};
  $("play").setAttribute("aria-pressed", true);
  $("play").textContent = "Stop";
  for (let i = Math.round(place.at * STEPS); playing === mine; i = (i + 1) % (2 * STEPS)) {
    // whole steps: a server's pictures are asked for once, and then in the browser's cache
    place.at = Math.min(i, 2 * STEPS - i) / STEPS;
    $("at").value = place.at;
    await Promise.all([draw(), new Promise(done => setTimeout(done, 60))]);
  }
  if (playing) return;
  $("play").setAttribute("aria-pressed", false);
  $("play").textContent = "Play";
  refresh();
}

function download() {
  const {seed, to, at, label} = asked(place), kind = label === null ? "" : `-${label.replace(/[^\p{L}\p{N}]+/gu, "_")}`;
  $("picture").toBlob(blob => {
    const link = Object.assign(document.createElement("a"), {href: URL.createObjectURL(blob)});
    link.download = `${info.name}-${seed}${to === null ? "" : `-${to}-${at}`}${kind}.png`;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10_000);  // it may still be read
    $("status").textContent = `Saved as ${link.download}`;
  });
}

async function copy() {
  const field = $("copied");
  field.value = await generator.copied.text(asked(place));
  field.hidden = false;
  field.select();
  try {
    await navigator.clipboard.writeText(field.value);
    $("status").textContent = `Copied: the ${generator.copied.what}`;
  } catch {  // no https, or not allowed
    $("status").textContent = "The browser does not let the page copy: it is selected below, copy it from there";
  }
}

// === Start ===

attempt(async () => {
  generator = await import("./generator.js");
  info = await generator.load();
  const {shape} = info.output, size = shape.slice(1).join(" × ");
  const makes = shape.length === 4 ? `images of ${size}` : shape[1] === 2 ? "points" : `signals of ${size} values`;
  document.title = $("name").textContent = info.name;
  const step = info.step && `step ${info.step.toLocaleString("en")}`, from = `${makes} from ${info.noise.dim} numbers`;
  const kinds = info.label && `${info.label.classes.length} classes`;
  $("facts").textContent = [info.model, info.dataset, step, from, kinds].filter(Boolean).join(" · ");
  $("copy").textContent = `Copy ${generator.copied.what}`;
  $("about").textContent = generator.about;
  document.querySelector("main").hidden = false;
  build();
  listen();
  restore();
});
