// Noise: a seed, one between two seeds, or either moved along directions; samples to pick from where that needs no file.
import {LARGEST, element, integer, latest, limited, show} from "../dom.js";

const SMALL = 144;  // pixels of a plot in a tile
const TILES = 24, REACH = 3, STEPS = 25, CUT = [0.1, 2];
const SEED = 'type="number" min="0" max="2147483647" step="1" inputmode="numeric"';
const SAMPLES = `
  <section aria-labelledby="samples">
    <h2 id="samples">Samples</h2>
    <div class="row">
      <label>Seed <input id="seed" ${SEED}></label>
      <button id="random" type="button" aria-label="Random seed of A">Random</button>
      <fieldset class="choice" data-many>
        <legend>Pick as</legend>
        <label><input type="radio" name="pick" value="seed" checked> A</label>
        <label><input type="radio" name="pick" value="to"> B</label>
      </fieldset>
    </div>
    <div id="slot"></div>
    <div id="cut" class="named slider">
      <label for="truncation">Truncation</label>
      <input id="truncation" type="range" min="${CUT[0]}" max="${CUT[1] + 0.1}" step="0.1" aria-describedby="meaning">
      <span class="value" aria-hidden="true"></span>
      <p id="meaning" class="quiet">Towards the left samples become more usual and vary less.</p>
    </div>
    <div id="grid" role="group" aria-label="Samples to pick from; the arrow keys move" data-many></div>
    <div class="row" data-many>
      <button id="back" type="button">Back</button>
      <button id="more" type="button">More</button>
    </div>
  </section>`;
const WAY = `
  <section aria-labelledby="way">
    <h2 id="way">From A to B</h2>
    <p class="quiet">A and B are the samples that bear these letters above. The slider shows what lies between the two.</p>
    <div class="way">
      <canvas id="a" class="thumb" width="1" height="1" role="img" aria-label="A"></canvas>
      <input id="at" type="range" min="0" max="1" step="0.01" aria-label="Way from A to B">
      <canvas id="b" class="thumb" width="1" height="1" role="img" aria-label="B"></canvas>
    </div>
    <div class="row">
      <label>Seed of B <input id="to" ${SEED}></label>
      <button id="random-to" type="button" aria-label="Random seed of B">Random</button>
      <button id="play" type="button" aria-pressed="false">Play</button>
      <a id="gif" class="button" download hidden>GIF</a>
    </div>
  </section>`;
const DIRECTIONS = `
  <section id="directions" aria-labelledby="along">
    <h2 id="along">Principal directions</h2>
    <p class="quiet">Where samples change most, the widest first.</p>
    <div id="sliders"></div>
    <div class="row"><button id="reset" type="button">All to 0</button></div>
  </section>`;
const TILE = `
  <button type="button" class="tile"><canvas width="1" height="1"></canvas><span></span><span></span></button>`;
const $ = id => document.getElementById(id);
const random = () => Math.floor(Math.random() * (LARGEST + 1));

export const source = ({shape}) => `${shape[1]} numbers`;

// page.many: whether pictures of many samples can be drawn, that is, nothing but noise and a class goes in.
export function control(field, page) {
  const {generator, info} = page, many = page.many;
  const place = {seed: 0, to: null, at: 0, directions: [], truncation: null};
  let first = 0;  // seed of the first sample in the grid
  let whole = true;  // false: some picture of the grid failed, and is to be tried again
  let later = null;  // timer of what is drawn anew once a slider rests
  let playing = null;  // an object of its own for each time, so that a loop knows when it is no longer meant
  const sections = many ? [SAMPLES, WAY, DIRECTIONS] : [SAMPLES];

  // === Drawing ===

  // What stands beside the picture is what it would be: moved along the directions, truncated, and, to be picked as B, of A's class.
  const start = seed => page.asked({seed, truncation: place.truncation, directions: [...place.directions]});
  const picked = () => document.querySelector("[name=pick]:checked").value;
  const offered = seed => picked() === "to" ? {...start(place.seed), seed} : start(seed);

  const drawEnds = latest(() => page.attempt(async () => {
    const {seed, to} = place, wanted = start(seed);
    show($("a"), await generator.image(wanted, SMALL));
    if (to !== null) show($("b"), await generator.image({...wanted, seed: to}, SMALL));
    $("b").classList.toggle("empty", to === null);
    $("b").setAttribute("aria-label", to === null ? "B: none is picked yet" : `B: seed ${to}`);
    $("a").setAttribute("aria-label", `A: seed ${seed}`);
  }));

  const drawGrid = latest(() => page.attempt(async () => {
    const asked = JSON.stringify([first, offered(0)]), tiles = [...$("grid").children];
    tiles.forEach((tile, i) => {
      tile.value = (first + i) % (LARGEST + 1);
      const wanted = offered(Number(tile.value)), [, number, kind] = tile.children;
      number.textContent = tile.value;
      kind.textContent = page.inTurn() ? wanted.label : "";
      tile.title = wanted.label ?? "";
      tile.dataset.words = page.words(wanted);
    });
    mark();
    whole = true;
    // a few at once: a server answers many, and a browser has one processor for all
    await Promise.all(Array.from({length: 4}, async () => {
      while (tiles.length && asked === JSON.stringify([first, offered(0)])) {
        const tile = tiles.shift();
        show(tile.firstChild, await generator.image(offered(Number(tile.value)), SMALL));
      }
    })).catch(error => {
      whole = false;
      throw error;
    });
  }));

  function drawAll() {
    if (!many) return;
    drawEnds();
    drawGrid();
  }

  function mark() {
    for (const tile of $("grid").children) {
      const seed = Number(tile.value);
      tile.dataset.is = (seed === place.seed ? "A" : "") + (seed === place.to ? "B" : "");
      tile.setAttribute("aria-pressed", Boolean(tile.dataset.is));
      const picked = tile.dataset.is.split("").join(" and ");
      tile.setAttribute("aria-label", `${tile.dataset.words ?? `Seed ${tile.value}`}${picked && `, picked as ${picked}`}`);
    }
  }

  // === Changes ===

  function change(values) {
    Object.assign(place, values);
    page.changed();
  }

  // What is picked is what is seen.
  function pick(which, seed) {
    playing = null;
    change({[which]: seed, at: which === "to" && seed !== null ? 1 : 0});
    if (many) drawEnds();
    if (many && picked() === "to" && page.inTurn()) drawGrid();
  }

  // What stands in a field of a seed; that of B may be empty.
  function typed(which) {
    const {value, validity} = $(which), seed = integer(value), empty = value === "" && !validity.badInput;
    if (seed === null && !(empty && which === "to")) {
      $(which).setAttribute("aria-invalid", true);
      return page.wrong(`Seed ${value || (empty ? "left empty" : "with letters")}: it takes a whole number from 0 to ${LARGEST}, in digits alone.`);
    }
    pick(which, seed);
  }

  // Small pictures follow once a slider rests.
  function soon() {
    clearTimeout(later);
    later = setTimeout(drawAll, 150);
  }

  function turn(by) {
    first = Math.max(0, Math.min(LARGEST + 1 - TILES, first + by));
    page.changed();
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
      await Promise.all([page.draw(), new Promise(done => setTimeout(done, 60))]);
    }
    if (playing) return;
    $("play").setAttribute("aria-pressed", false);
    $("play").textContent = "Play";
    page.changed();
  }

  // === Controls ===

  function build() {
    if (!many) document.querySelectorAll("[data-many]").forEach(node => { node.hidden = true; });
    $("cut").hidden = !info.truncation;
    if (!many) return;
    $("grid").append(...Array.from({length: TILES}, (_, i) => {
      const tile = element(TILE);
      tile.tabIndex = i ? -1 : 0;  // one stop for the tab key; arrows go on from there
      return tile;
    }));
    slide();
  }

  // A slider for each direction that the generator has now.
  function slide() {
    $("sliders").replaceChildren(...Array.from({length: info.directions}, (_, k) => {
      const label = element(`<label class="slider"><span>Direction ${k + 1}</span>
        <input type="range" min="${-REACH}" max="${REACH}" step="0.1" class="middle"><span class="value" aria-hidden="true"></span></label>`);
      const slider = label.querySelector("input");
      slider.addEventListener("input", () => {
        change({directions: place.directions.with(k, Number(slider.value))});
        soon();
      });
      return label;
    }));
    $("directions").hidden = !info.directions;
  }

  function listen() {
    $("random").onclick = () => pick("seed", random());
    $("seed").onchange = () => typed("seed");
    $("truncation").oninput = () => {
      const bound = Number($("truncation").value);
      change({truncation: bound > CUT[1] ? null : bound});
      soon();
    };
    if (!many) return;
    $("random-to").onclick = () => pick("to", random());
    $("to").onchange = () => typed("to");
    document.querySelectorAll("[name=pick]").forEach(choice => { choice.onchange = () => page.inTurn() && drawGrid(); });
    $("at").oninput = () => {
      playing = null;
      change({at: Number($("at").value)});
    };
    $("reset").onclick = () => {
      change({directions: place.directions.fill(0)});
      soon();
    };
    $("more").onclick = () => turn(TILES);
    $("back").onclick = () => turn(-TILES);
    $("play").onclick = play;
    $("grid").onclick = event => {
      const tile = event.target.closest("button");
      if (tile) pick(picked(), Number(tile.value));
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
  }

  function focus(tile) {
    for (const other of $("grid").children) other.tabIndex = other === tile ? 0 : -1;
    if (tile !== document.activeElement) tile.focus();
  }

  // What an address has that was not taken as it stands there.
  function lost(query, offsets) {
    const {directions, truncation} = place, at = Number(query.get("at"));
    const used = {
      ...Object.fromEntries(["seed", "to", "first"].map(name => [name, (many || name === "seed") && integer(query.get(name)) !== null])),
      at: place.to !== null && (query.get("at") ?? "").trim() !== "" && at >= 0 && at <= 1, truncation: truncation !== null,
      directions: offsets.length <= directions.length && offsets.every((offset, k) => offset === directions[k]),
    };
    const why = {
      ...Object.fromEntries(["seed", "to", "first"].map(name => [name, `a whole number from 0 to ${LARGEST} is needed`])),
      at: "a number from 0 to 1 is needed, and `to`", truncation: info.truncation ? `from ${CUT[0]} to ${CUT[1]}` : "there is none",
      directions: `up to ${directions.length} numbers from ${-REACH} to ${REACH} are needed`,
    };
    return Object.keys(used).filter(name => query.has(name) && !used[name]).map(name => `${name}=${query.get(name)} (${why[name]})`);
  }

  return {
    elements: sections.map(element),
    get slot() { return $("slot"); },
    get playing() { return playing !== null; },
    ready: () => true,
    place: () => ({...place, directions: [...place.directions]}),
    mounted() {
      build();
      listen();
    },
    stop() {
      playing = null;
    },
    // The generator is another one.
    renew() {
      $("cut").hidden = !info.truncation;
      if (!many || place.directions.length === info.directions) return;
      place.directions = Array.from({length: info.directions}, (_, k) => place.directions[k] ?? 0);
      slide();
    },
    drawAll,
    write(query) {
      const {seed, to, at, directions, truncation} = place;
      query.set("seed", seed);
      if (to !== null) {
        query.set("to", to);
        query.set("at", at);
      }
      if (directions.some(Boolean)) query.set("directions", directions);
      page.writeSmall(query);
      if (truncation !== null) query.set("truncation", truncation);
      if (first) query.set("first", first);
    },
    restore(query) {
      const offsets = (query.get("directions") ?? "").split(",").map(Number), cut = Number(query.get("truncation"));
      first = many && integer(query.get("first")) || 0;
      place.seed = integer(query.get("seed")) ?? 0;
      place.to = many ? integer(query.get("to")) : null;
      place.at = place.to === null ? 0 : limited(Number(query.get("at")), 0, 1);
      place.directions = Array.from({length: many ? info.directions : 0}, (_, k) => limited(offsets[k], -REACH, REACH));
      place.truncation = info.truncation && cut >= CUT[0] && cut <= CUT[1] ? cut : null;
      return lost(query, offsets);
    },
    refresh() {
      const {seed, to, at, directions, truncation} = place;
      document.querySelectorAll("#seed, #to").forEach(input => input.removeAttribute("aria-invalid"));
      $("seed").value = seed;
      $("truncation").value = truncation ?? $("truncation").max;
      $("cut").querySelector(".value").textContent = truncation?.toFixed(1) ?? "off";
      $("truncation").setAttribute("aria-valuetext", truncation?.toFixed(1) ?? "off");
      if (!many) return;
      $("to").value = to ?? "";
      $("at").value = at;
      $("back").disabled = first === 0;
      $("at").disabled = $("play").disabled = to === null;
      document.querySelectorAll("#sliders input").forEach((slider, k) => {
        slider.value = directions[k];
        slider.nextElementSibling.textContent = directions[k].toFixed(1);
        slider.setAttribute("aria-valuetext", directions[k].toFixed(1));
        const place = 50 + 50 * directions[k] / REACH;  // per cent; what is filled begins at 0
        slider.style.setProperty("--from", `${Math.min(50, place)}%`);
        slider.style.setProperty("--to", `${Math.max(50, place)}%`);
      });
      const gif = generator.gif(page.asked());
      $("gif").hidden = gif === null;
      if (gif !== null) $("gif").href = gif;
      mark();
      if (!whole) drawGrid();
    },
    words: ({seed, to = null, at, directions = [], label = null, truncation}) => [
      to === null ? `seed ${seed}` : `${Math.round(100 * at)} % of the way from seed ${seed} to ${to}`,
      label !== null && `class ${label}`, directions.some(Boolean) && "moved along directions",
      truncation !== null && `truncated at ${truncation}`],
    file: ({seed, to = null, at, directions = [], truncation = null}) => [
      to === null ? seed : `${seed}-${to}-${at}`, directions.some(Boolean) && `along-${directions.join("_").replace(/(_0)+$/, "")}`,
      truncation !== null && `truncated-${truncation}`].filter(part => part || part === 0).join("-"),
  };
}
