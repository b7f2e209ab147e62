// Masks: painted over the image that they are of, with a brush: mouse, finger or keys; or taken from a file.
import {canvas, element, limited} from "../dom.js";

export const media = "image/png", suffix = ".png";
export const part = ({blob}) => [blob, "mask.png"];
export const source = () => "a mask";
export const words = () => "masks";

const KEPT = 1 << 26;  // bytes of what can be undone
const BRUSH = 0.08;  // of the shorter side, to begin with
const HOLE = 0xbe7828e6;  // as ImageData has it: alpha, blue, green, red
const HELD = 3;  // pixels of the screen that an arrow key moves the brush by at least
const CONTROL = `
  <section class="mask">
    <h2></h2>
    <p class="quiet hint"></p>
    <div class="paint" hidden>
      <canvas class="under" width="1" height="1" aria-hidden="true"></canvas>
      <canvas class="over" width="1" height="1" tabindex="0" role="application"></canvas>
      <span class="ring" aria-hidden="true" hidden></span>
    </div>
    <div class="row">
      <fieldset class="choice"><legend>Brush</legend>
        <label><input type="radio" value="1" checked> Hole</label>
        <label><input type="radio" value="0"> Keep</label>
      </fieldset>
      <label>Size <input class="size" type="range" min="1" max="40" value="8" step="1"></label>
    </div>
    <div class="row">
      <button type="button" class="undo" disabled>Undo</button>
      <button type="button" class="redo" disabled>Redo</button>
      <button type="button" class="clear" disabled>Clear</button>
      <button type="button" class="pick">Take a mask file</button>
      <input type="file" accept="image/*" tabindex="-1" aria-hidden="true" hidden>
    </div>
    <p class="problem" hidden></p>
  </section>`;
const FIRST = "Give an image; then paint over what is to be filled.";
const HOW = "Paint over what is to be filled. With the keyboard: arrow keys move the brush (Shift: farther), Space paints where it is "
  + "and held paints along, [ and ] change its size, Ctrl+Z takes back.";

export function control(field, page) {
  const section = element(CONTROL), $ = selector => section.querySelector(selector);
  const under = $(".under"), over = $(".over"), problem = $(".problem"), hint = $(".hint"), file = $("input[type=file]");
  const of = page.inputs.find(({kind}) => kind === "image");
  const alone = page.inputs.filter(({kind}) => kind === field.kind).length === 1;
  let picture = null, mask = null, shade = null, sent = null;  // the image, 0 or 1 of each of its pixels, as it is seen, as it is sent
  let done = [], undone = [], stroke = null, brush = null, keys = false, held = false;
  $("h2").textContent = alone ? "The hole" : field.name;
  section.setAttribute("aria-label", $("h2").textContent);
  hint.id = `hint-${field.name}`;
  over.setAttribute("aria-label", `Mask: paint what is to be filled`);
  over.setAttribute("aria-describedby", hint.id);
  section.querySelectorAll("[type=radio]").forEach(input => Object.assign(input, {name: `brush-${field.name}`}));
  hint.textContent = FIRST;

  const ring = $(".ring");
  const radius = () => Math.max(0.5, Number($(".size").value) / 100 * Math.min(picture.width, picture.height) / 2);

  // === What is seen ===

  // The brush, where it is.
  function point() {
    ring.hidden = !brush;
    if (!brush) return;
    ring.style.setProperty("left", `${100 * brush.x / picture.width}%`);
    ring.style.setProperty("top", `${100 * brush.y / picture.height}%`);
    ring.style.setProperty("width", `${200 * radius() / picture.width}%`);
  }

  // All of the mask, over the image.
  function draw() {
    shade = new ImageData(picture.width, picture.height);
    new Uint32Array(shade.data.buffer).forEach((_, i, pixels) => pixels[i] = mask[i] ? HOLE : 0);
    over.getContext("2d").putImageData(shade, 0, 0);
    point();
  }

  function buttons() {
    const some = mask?.some(Boolean) ?? false;
    Object.assign($(".undo"), {disabled: !done.length});
    Object.assign($(".redo"), {disabled: !undone.length});
    Object.assign($(".clear"), {disabled: !some});
    for (const control of section.querySelectorAll("[type=radio], .size, .pick")) control.disabled = !picture;
  }

  // === What is painted ===

  // Discs along the way from the brush's place to another, each pixel by its middle: no grey edge.
  function paint(to) {
    const from = stroke ?? to, far = Math.hypot(to.x - from.x, to.y - from.y), r = radius(), {width, height} = picture;
    const value = Number(section.querySelector("[type=radio]:checked").value), steps = Math.max(1, Math.ceil(far / Math.max(1, r / 2)));
    const pixels = new Uint32Array(shade.data.buffer);
    const fill = (first, last) => {
      mask.fill(value, first, last);
      pixels.fill(value ? HOLE : 0, first, last);
    };
    for (let step = 0; step <= steps; step++) {
      const x = from.x + (to.x - from.x) * step / steps, y = from.y + (to.y - from.y) * step / steps;
      const middle = limited(Math.floor(y), 0, height - 1) * width + limited(Math.floor(x), 0, width - 1);
      fill(middle, middle + 1);
      for (let row = Math.max(0, Math.floor(y - r)); row < Math.min(height, y + r); row++) {
        const half = Math.sqrt(Math.max(0, r * r - (row + 0.5 - y) ** 2));
        const first = Math.max(0, Math.ceil(x - half - 0.5)), last = Math.min(width - 1, Math.floor(x + half - 0.5));
        if (half && first <= last) fill(row * width + first, row * width + last + 1);
      }
    }
    const [left, top] = [Math.min(from.x, to.x), Math.min(from.y, to.y)].map(least => Math.floor(least - r - 1));
    over.getContext("2d").putImageData(shade, 0, 0, left, top, Math.ceil(Math.abs(to.x - from.x) + 2 * r + 3),
                                       Math.ceil(Math.abs(to.y - from.y) + 2 * r + 3));
    stroke = to;
    point();
  }

  function begin() {
    done.push(mask.slice());
    while (done.length > 1 && done.length * mask.length > KEPT) done.shift();
    undone = [];
    stroke = null;
  }

  async function finish() {
    stroke = null;
    draw();
    buttons();
    problem.hidden = true;
    const drawn = mask, found = mask.some(Boolean) ? await encoded(mask, picture) : null;
    if (drawn !== mask) return;
    sent = found;
    page.changed();
  }

  function back(from, to) {
    if (!from.length) return;
    to.push(mask);
    mask = from.pop();
    finish();
  }

  // The image that it is of has changed: another size has another mask, and the same size may keep it.
  function fit(wanted) {
    const same = picture && picture.width === wanted.width && picture.height === wanted.height;
    picture = wanted;
    for (const each of [under, over]) {
      if (each.width !== picture.width || each.height !== picture.height) [each.width, each.height] = [picture.width, picture.height];
      each.classList.toggle("small", picture.width < 256);
    }
    under.getContext("2d").drawImage(picture, 0, 0);
    $(".paint").hidden = false;
    $(".paint").style.setProperty("--ratio", picture.width / picture.height);
    hint.textContent = HOW;
    if (!same) {
      mask = new Uint8Array(picture.width * picture.height);
      [done, undone, sent, brush] = [[], [], null, null];
      $(".size").value = 100 * BRUSH;
    }
    draw();
    buttons();
  }

  function complain(text) {
    problem.textContent = text;
    problem.hidden = false;
    page.say(text);
  }

  async function take(blob) {
    problem.hidden = true;
    let image;
    try {
      image = await createImageBitmap(blob);
    } catch {
      return complain(`${blob.name ?? "The file"} cannot be read as an image: take a PNG that is white where the image is missing.`);
    }
    const sheet = canvas(picture.width, picture.height), pen = sheet.getContext("2d");
    pen.fillRect(0, 0, sheet.width, sheet.height);
    const factor = Math.max(sheet.width / image.width, sheet.height / image.height);  // cut as images are
    const [width, height] = [sheet.width / factor, sheet.height / factor];
    pen.drawImage(image, (image.width - width) / 2, (image.height - height) / 2, width, height, 0, 0, sheet.width, sheet.height);
    const {data} = pen.getImageData(0, 0, sheet.width, sheet.height);
    begin();
    mask = Uint8Array.from({length: sheet.width * sheet.height}, (_, i) => data[4 * i] + data[4 * i + 1] + data[4 * i + 2] > 382);
    finish();
  }

  // === Mouse, finger, keys ===

  function place(event) {
    const box = over.getBoundingClientRect();
    return {x: (event.clientX - box.left) / box.width * picture.width, y: (event.clientY - box.top) / box.height * picture.height};
  }

  over.onpointerdown = event => {
    if (event.button) return;
    over.setPointerCapture(event.pointerId);
    over.focus({preventScroll: true});
    keys = false;
    brush = place(event);
    begin();
    paint(brush);
  };
  over.onpointermove = event => {
    brush = place(event);
    if (over.hasPointerCapture(event.pointerId)) paint(brush);
    else point();
  };
  over.onlostpointercapture = () => stroke && finish();
  over.onpointerleave = () => {
    if (keys || stroke) return;
    brush = null;
    point();
  };
  over.onfocus = () => {
    keys = over.matches(":focus-visible");
    brush ??= {x: picture.width / 2, y: picture.height / 2};
    point();
  };
  over.onblur = () => {
    if (held && stroke) finish();
    [held, keys, brush] = [false, false, null];
    point();
  };
  over.onkeydown = event => {
    const way = {ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1]}[event.key];
    const size = {"[": -1, "]": 1}[event.key];
    if (event.ctrlKey || event.metaKey) {
      if (event.key === "z") back(done, undone);
      else if (event.key === "y") back(undone, done);
      else return;
    } else if (way) {
      const far = Math.max(HELD * picture.width / over.clientWidth, radius() / 2) * (event.shiftKey ? 5 : 1);
      const at = brush ?? {x: picture.width / 2, y: picture.height / 2};
      brush = {x: limited(at.x + way[0] * far, 0, picture.width), y: limited(at.y + way[1] * far, 0, picture.height)};
      if (held) paint(brush);
    } else if (size) {
      $(".size").value = Number($(".size").value) + size;
    } else if (event.key === " ") {
      if (!held) {
        begin();
        paint(brush);
      }
      held = true;
    } else return;
    event.preventDefault();
    keys = true;
    point();
  };
  over.onkeyup = event => {
    if (event.key !== " " || !held) return;
    held = false;
    finish();
  };

  $(".size").oninput = () => picture && point();
  $(".undo").onclick = () => back(done, undone);
  $(".redo").onclick = () => back(undone, done);
  $(".clear").onclick = () => {
    begin();
    mask = new Uint8Array(mask.length);
    finish();
  };
  $(".pick").onclick = () => file.click();
  file.onchange = () => {
    if (file.files.length) take(file.files[0]);
    file.value = "";
  };
  section.ondragover = event => {
    event.preventDefault();
    event.stopPropagation();
  };
  section.ondrop = event => {  // here it is a mask, elsewhere an image
    section.ondragover(event);
    if (picture && event.dataTransfer.files.length) take(event.dataTransfer.files[0]);
  };

  buttons();
  return {
    elements: [section],
    ready: () => sent !== null,
    complain,
    add(found) {
      if (mask) found[field.name] = {blob: sent, mask, width: picture.width, height: picture.height};
    },
    refresh() {
      const wanted = page.asked()[of?.name]?.picture;
      if (wanted && wanted !== picture) fit(wanted);
    },
    words: () => [],
  };
}

// A PNG of a mask, white where it is 1.
function encoded(mask, {width, height}) {
  const sheet = canvas(width, height), data = new ImageData(width, height);
  for (let i = 0; i < mask.length; i++) data.data.set([255 * mask[i], 255 * mask[i], 255 * mask[i], 255], 4 * i);
  sheet.getContext("2d").putImageData(data, 0, 0);
  return new Promise(done => sheet.toBlob(done, "image/png"));
}

// A tensor of it: Float32Array of 0 and 1.
export const values = ({mask}) => Float32Array.from(mask);
