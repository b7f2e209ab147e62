// A board to draw an image on, pixel by pixel: for a mouse, a finger, a pen, keys. kinds/image.js mounts it.
import {canvas, element} from "./dom.js";

const STEPS = 40;  // that can be undone
const FAR = 8;  // pixels that an arrow key moves with Shift
const BOARD = `
  <div class="board">
    <div class="paper">
      <canvas tabindex="0" role="application"></canvas>
      <span class="cursor" aria-hidden="true"></span>
    </div>
    <fieldset class="choice tools"><legend>Draw with</legend></fieldset>
    <label class="slider">Width <input type="range" min="1" step="1"><span class="value"></span></label>
    <fieldset class="choice colours"><legend>Colour</legend></fieldset>
    <div class="row">
      <button type="button" class="undo" disabled>Undo</button>
      <button type="button" class="clear">Clear</button>
    </div>
    <p class="quiet">Keys: arrows move, with Shift farther; Space draws or lifts, Ctrl+Z undoes.</p>
  </div>`;
const TOOLS = {pen: "Pen", eraser: "Eraser", fill: "Fill", box: "Box"};

// === On pixels: Uint32Array of width × height, a number a colour ===

// A square of `size` pixels around each point of the line.
export function line(pixels, width, [x, y], [toX, toY], size, colour) {
  const steps = Math.max(Math.abs(toX - x), Math.abs(toY - y), 1), before = Math.floor((size - 1) / 2);
  for (let i = 0; i <= steps; i++) {
    const left = Math.round(x + (toX - x) * i / steps) - before, top = Math.round(y + (toY - y) * i / steps) - before;
    box(pixels, width, [left, top], [left + size - 1, top + size - 1], colour);
  }
}

// All pixels from one corner to the other, both of them too, as far as they are on the board.
export function box(pixels, width, [x, y], [toX, toY], colour) {
  const height = pixels.length / width, [left, right] = [x, toX].sort((a, b) => a - b), [top, bottom] = [y, toY].sort((a, b) => a - b);
  for (let row = Math.max(0, top); row <= Math.min(height - 1, bottom); row++) {
    const from = Math.max(0, left), to = Math.min(width - 1, right) + 1;
    if (from < to) pixels.fill(colour, row * width + from, row * width + to);
  }
}

// The pixels of one colour that hang together with the one at x, y, by their sides.
export function fill(pixels, width, [x, y], colour) {
  const height = pixels.length / width, old = pixels[y * width + x], open = [[x, y]];
  if (old === colour) return;
  while (open.length) {
    const [i, j] = open.pop();
    if (i < 0 || j < 0 || i >= width || j >= height || pixels[j * width + i] !== old) continue;
    pixels[j * width + i] = colour;
    open.push([i + 1, j], [i - 1, j], [i, j + 1], [i, j - 1]);
  }
}

const packed = ([r, g, b]) => (0xff000000 | b << 16 | g << 8 | r) >>> 0;  // as ImageData lies in memory
const css = colour => `rgb(${colour.join(" ")})`;

// What there is to draw in: lists of three numbers from 0 to 255, the ground first; and whether others will do as well.
function palette({labels, colours, shape}) {
  const wide = colour => colour.length < 3 ? Array(3).fill(colour[0]) : colour.slice(0, 3);
  const found = (labels ?? colours ?? [[255, 255, 255], [0, 0, 0]]).map(wide);
  return {found, open: !labels && shape[3] > 2};
}

// === The board ===

// {element, canvas, start(picture or null, [height, width]): begins on a copy of it, or on the ground}. `changed()` is called after
// each change of the drawing. `title`: names what is drawn.
export function board(field, title, changed) {
  const node = element(BOARD), $ = selector => node.querySelector(selector), on = $("canvas"), pen = on.getContext("2d", {
    willReadFrequently: true});
  const {found, open} = palette(field), before = [], brightest = Math.max(...found.flat());
  let tool = "pen", colour = found[1] ?? found[0], from = null, at = [0, 0], base = null, down = false;
  on.setAttribute("aria-label", `${title}: a board to draw on; arrow keys move, Space draws or lifts`);
  // levels of grey that are numbers of labels are all near black
  if (field.labels && field.shape[3] < 3 && brightest < 128) node.style.setProperty("--light", 255 / Math.max(1, brightest));

  function choice(parent, kind, value, label, checked, use) {
    const input = element(`<label><input type="radio"> <span></span></label>`), radio = input.firstElementChild;
    Object.assign(radio, {name: `${kind}-${field.name}`, value, checked, onchange: use});
    input.lastElementChild.textContent = label;
    parent.append(input);
    return input;
  }

  for (const [name, label] of Object.entries(TOOLS)) {
    choice($(".tools"), "tool", name, label, name === tool, () => { tool = name; });
  }
  found.forEach((each, i) => {
    const input = choice($(".colours"), "colour", i, "", each === colour, () => { colour = each; });
    input.firstElementChild.setAttribute("aria-label", `colour ${i}, red ${each[0]}, green ${each[1]}, blue ${each[2]}`);
    input.lastElementChild.className = "swatch";
    input.lastElementChild.style.background = css(each);
  });
  if (open) {
    const other = element('<label><input type="color" aria-label="another colour"></label>'), input = other.firstElementChild;
    input.oninput = () => {
      colour = [1, 3, 5].map(i => parseInt(input.value.slice(i, i + 2), 16));
      $(".colours").querySelectorAll("[type=radio]").forEach(radio => { radio.checked = false; });
    };
    $(".colours").append(other);
  }
  const width = $("[type=range]");
  width.oninput = () => { width.nextElementSibling.textContent = width.value; };

  const read = () => pen.getImageData(0, 0, on.width, on.height);

  // Changes the pixels by `work`, beginning with those of `start`, if there are any.
  function paint(work, start) {
    const image = start ? new ImageData(start.data.slice(), start.width) : read();
    work(new Uint32Array(image.data.buffer), on.width);
    pen.putImageData(image, 0, 0);
    changed();
  }

  function remember() {
    before.push(read());
    if (before.length > STEPS) before.shift();
    $(".undo").disabled = false;
  }

  function undo() {
    if (!before.length) return;
    pen.putImageData(before.pop(), 0, 0);
    $(".undo").disabled = !before.length;
    down = false;
    changed();
  }

  function begin(point) {
    remember();
    [from, at, down, base] = [point, point, true, read()];
    if (tool === "fill") {
      down = false;
      paint((pixels, wide) => fill(pixels, wide, point, packed(colour)));
    } else go(point);
  }

  function go(point) {
    const last = at;
    at = point;
    if (!down) return;
    const size = Number(width.value);
    if (tool === "box") paint((pixels, wide) => box(pixels, wide, from, point, packed(colour)), base);
    else paint((pixels, wide) => line(pixels, wide, last, point, size, packed(tool === "eraser" ? found[0] : colour)));
  }

  // The pixel under a pointer, kept on the board.
  function under({clientX, clientY}) {
    const {left, top, width, height} = on.getBoundingClientRect();
    return [[clientX - left, width, on.width], [clientY - top, height, on.height]].map(([place, side, pixels]) =>
      Math.min(pixels - 1, Math.max(0, Math.floor(place / side * pixels))));
  }

  function mark() {
    node.style.setProperty("--x", `${100 * (at[0] + 0.5) / on.width}%`);
    node.style.setProperty("--y", `${100 * (at[1] + 0.5) / on.height}%`);
    node.classList.toggle("down", down);
  }

  on.onpointerdown = event => {
    if (event.button) return;
    try { on.setPointerCapture(event.pointerId); } catch {}  // it is gone already
    begin(under(event));
  };
  on.onpointermove = event => down && event.buttons && go(under(event));
  on.onpointerup = on.onpointercancel = () => { down = false; mark(); };
  on.onkeydown = event => {
    const moves = {ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1]}[event.key];
    if (moves) {
      const step = event.shiftKey ? FAR : 1;
      go([0, 1].map(i => Math.min([on.width, on.height][i] - 1, Math.max(0, at[i] + step * moves[i]))));
    } else if (event.key === " " || event.key === "Enter") {
      if (down) down = false;
      else begin(at);
    } else if (event.key === "z" && (event.ctrlKey || event.metaKey)) undo();
    else return;
    event.preventDefault();
    mark();
  };
  $(".undo").onclick = undo;
  $(".clear").onclick = () => {
    remember();
    paint(pixels => pixels.fill(packed(found[0])));
  };
  return {
    element: node,
    canvas: on,
    start(picture, [height, wide] = []) {
      Object.assign(on, picture ? {width: picture.width, height: picture.height} : {width: wide, height});
      pen.fillStyle = css(found[0]);
      pen.fillRect(0, 0, on.width, on.height);
      if (picture) pen.drawImage(picture, 0, 0);
      before.length = 0;
      $(".undo").disabled = true;
      width.max = Math.max(2, Math.round(Math.min(on.width, on.height) / 4));
      width.value = Math.max(1, Math.round(Math.min(on.width, on.height) / 32));
      width.oninput();
      at = [on.width >> 1, on.height >> 1];
      down = false;
      mark();
      changed();
    },
  };
}
