// Voxels: a solid of cubes that can be turned, on a plain canvas. Axes x, y, z, z up, as in kgan.kinds.voxels.
import {canvas, element, limited} from "../dom.js";
import {glb} from "../glb.js";
import {npy} from "../npy.js";

export const media = "application/x-npy", suffix = ".glb";
const COLOUR = [226, 178, 108], TOWARDS = [1, 0.62, 0.72];  // as the server draws
const FIRST = {yaw: Math.atan2(TOWARDS[1], TOWARDS[0]), pitch: Math.atan2(TOWARDS[2], Math.hypot(TOWARDS[0], TOWARDS[1]))};
const PHASES = 4, MORE = 0.4;  // places within a pixel that are told apart; pixels that sides overlap, lest there be gaps
const STEP = Math.PI / 24, HIGHEST = Math.PI / 2, REACH = 2;  // a key's turn; how far a voxel's neighbours round its light

export const words = ({shape}) => `solids of ${shape.slice(1, 4).map(size => size ?? "any")
  .join(" × ")} voxels`;

export const made = (values, shape) => ({values, size: shape.slice(1, 4)});

export async function read(blob) {
  const {values, shape} = await npy(blob);
  return {values, size: shape.slice(0, 3)};
}

// === What is seen ===

// The surface of what lies above a threshold: {size, open: per voxel bits of the sides that are not covered, normals: per
// voxel where its surroundings are empty, count: voxels with an open side}.
export function surface({values, size: [depth, height, width]}, threshold) {
  const there = (x, y, z) => x >= 0 && y >= 0 && z >= 0 && x < depth && y < height && z < width
    && values[(x * height + y) * width + z] > threshold;
  const open = new Uint8Array(depth * height * width), normals = new Float32Array(3 * open.length);
  let count = 0;
  for (let x = 0, i = 0; x < depth; x++) for (let y = 0; y < height; y++) for (let z = 0; z < width; z++, i++) {
    if (!there(x, y, z)) continue;
    open[i] = !there(x + 1, y, z) | !there(x - 1, y, z) << 1 | !there(x, y + 1, z) << 2 | !there(x, y - 1, z) << 3
      | !there(x, y, z + 1) << 4 | !there(x, y, z - 1) << 5;
    if (!open[i]) continue;
    count++;
    let [a, b, c] = [0, 0, 0];
    for (let u = -REACH; u <= REACH; u++) for (let v = -REACH; v <= REACH; v++) for (let w = -REACH; w <= REACH; w++) {
      if (!there(x + u, y + v, z + w)) [a, b, c] = [a + u, b + v, c + w];
    }
    const norm = Math.hypot(a, b, c) || 1;
    normals.set([a / norm, b / norm, c / norm], 3 * i);
  }
  return {size: [depth, height, width], open, normals, count};
}

// Draws a surface into Uint32Array pixels [side²], from a direction, in parallel perspective; where there is nothing they are 0.
// From the farthest voxel to the nearest, so that what is nearer covers what is behind it.
export function render(pixels, side, {size, open, normals}, {yaw, pitch}) {
  pixels.fill(0);
  const [cy, sy, cp, sp] = [Math.cos(yaw), Math.sin(yaw), Math.cos(pitch), Math.sin(pitch)];
  const right = [-sy, cy, 0], up = [-sp * cy, -sp * sy, cp], ray = [cp * cy, cp * sy, sp];  // ray: towards whoever looks
  const scale = 0.96 * side / Math.hypot(...size);
  const light = [0, 1, 2].map(k => 0.7 * ray[k] - 0.35 * right[k] + 0.5 * up[k]);
  const across = right.map(value => PHASES * scale * value), down = up.map(value => -PHASES * scale * value);
  const sides = [0, 1, 2].filter(k => Math.abs(ray[k]) > 1e-6).map(k => {
    const way = ray[k] > 0 ? 1 : -1, edges = [0, 1, 2].filter(other => other !== k);
    return {bit: 1 << 2 * k + (way < 0 ? 1 : 0), plain: 0.75 * way * light[k], x: way > 0 ? across[k] : 0, y: way > 0 ? down[k] : 0,
            stamps: stamps(side, edges.map(edge => [scale * right[edge], -scale * up[edge]]))};
  });
  const [nx, ny, nz] = size, middle = size.map(length => length / 2), far = Math.hypot(...size) / 2;
  const [ax, ay, az] = ray.map((value, k) => value > 0 ? [0, size[k], 1] : [size[k] - 1, -1, -1]);
  for (let x = ax[0]; x !== ax[1]; x += ax[2]) for (let y = ay[0]; y !== ay[1]; y += ay[2]) {
    for (let z = az[0], i = (x * ny + y) * nz + z; z !== az[1]; z += az[2], i += az[2]) {
      const bits = open[i];
      if (!bits) continue;
      const px = x - middle[0], py = y - middle[1], pz = z - middle[2];
      const left = PHASES * side / 2 + px * across[0] + py * across[1] + 0.5;
      const top = PHASES * side / 2 + px * down[0] + py * down[1] + pz * down[2] + 0.5;
      const round = normals[3 * i] * light[0] + normals[3 * i + 1] * light[1] + normals[3 * i + 2] * light[2];
      const near = 0.9 + 0.1 * (px * ray[0] + py * ray[1] + pz * ray[2]) / far;
      for (let s = 0; s < sides.length; s++) {
        const one = sides[s];
        if (bits & one.bit) {
          const shade = near * Math.min(1.08, 0.5 + 0.62 * Math.max(0, one.plain + 0.25 * round));
          paint(pixels, side, one.stamps, left + one.x | 0, top + one.y | 0, colour(shade));
        }
      }
    }
  }
}

function colour(shade) {
  const [red, green, blue] = [Math.min(255, shade * COLOUR[0]), Math.min(255, shade * COLOUR[1]), Math.min(255, shade * COLOUR[2])];
  return 0xff000000 | blue << 16 | green << 8 | red;
}

// A side whose corner is at a place, counted in parts of a pixel.
function paint(pixels, side, stamps, x, y, colour) {
  const stamp = stamps[x % PHASES * PHASES + y % PHASES], corner = (y / PHASES | 0) * side + (x / PHASES | 0);
  for (let s = 0; s < stamp.length; s += 2) {
    const end = corner + stamp[s] + stamp[s + 1];
    for (let at = corner + stamp[s]; at < end; at++) pixels[at] = colour;
  }
}

// The pixels of a side between two edges [x, y] from its corner, for each place of that within a pixel: all sides that look the
// same way have the same ones. Of each row where it begins, from the corner's pixel, and its length.
function stamps(side, edges) {
  const places = Array.from({length: PHASES}, (_, i) => i / PHASES);
  return places.flatMap(x => places.map(y => Int32Array.from(spans(side, edges, x, y))));
}

function spans(side, [[a, b], [c, d]], x, y) {
  const corners = [[x, y], [x + a, y + b], [x + a + c, y + b + d], [x + c, y + d]], found = [];
  const low = Math.min(...corners.map(corner => corner[1])), high = Math.max(...corners.map(corner => corner[1]));
  for (let row = Math.floor(low - MORE); row <= high + MORE; row++) {
    const at = Math.min(high, Math.max(low, row + 0.5));  // a pixel's middle decides, or what is nearest to it
    if (Math.abs(at - row - 0.5) > MORE) continue;
    let [first, last] = [Infinity, -Infinity];
    corners.forEach(([x0, y0], i) => {
      const [x1, y1] = corners[(i + 1) % 4];
      if (at < Math.min(y0, y1) || at > Math.max(y0, y1)) return;
      for (const end of y0 === y1 ? [x0, x1] : [x0 + (at - y0) / (y1 - y0) * (x1 - x0)]) {
        [first, last] = [Math.min(first, end), Math.max(last, end)];
      }
    });
    const start = Math.ceil(first - 0.5 - MORE), end = Math.floor(last - 0.5 + MORE);
    if (start <= end) found.push(row * side + start, end - start + 1);
  }
  return found;
}

// A canvas of a sample, as a picture among others.
export function drawn(sample, side = 224, threshold = 0.5) {
  const found = canvas(side, side), data = new ImageData(side, side);
  render(new Uint32Array(data.data.buffer), side, surface(sample, threshold), FIRST);
  found.getContext("2d").putImageData(data, 0, 0);
  return found;
}

// === The view ===

export function view(field, page) {
  const frame = element(`<div class="solid">
    <canvas id="picture" role="img" tabindex="0" width="1" height="1" aria-describedby="turning"></canvas>
    <p id="turning" class="quiet">Drag it or use the arrow keys to turn it.</p>
    <div class="slider">
      <label for="threshold">Threshold</label>
      <input id="threshold" type="range" step="0.01"><span class="value" aria-hidden="true"></span>
      <button id="spin" type="button" aria-pressed="false">Spin</button>
    </div>
  </div>`);
  const on = frame.querySelector("canvas"), slider = frame.querySelector("#threshold"), spin = frame.querySelector("#spin");
  const [low, high] = field.range ?? [0, 1], hint = frame.querySelector("#turning"), how = hint.textContent;
  const place = {...FIRST};
  let sample = null, solid = null, image = null, due = 0, spinning = false;
  Object.assign(slider, {min: low, max: high, value: (low + high) / 2});

  function draw() {
    due = 0;
    if (!solid || !on.isConnected) return;
    if (spinning) place.yaw += 0.02;
    // twice as fine as it is shown, so that edges are smooth
    const side = Math.round(limited(2 * on.clientWidth, 240, 800));
    if (image?.width !== side) {
      on.width = on.height = side;
      image = new ImageData(side, side);
    }
    render(new Uint32Array(image.data.buffer), side, solid, place);
    on.getContext("2d").putImageData(image, 0, 0);
    if (spinning) again();
  }

  function again() {
    due ||= requestAnimationFrame(draw);
  }

  function cut() {
    slider.nextElementSibling.textContent = Number(slider.value).toFixed(2);
    if (!sample) return;
    solid = surface(sample, Number(slider.value));
    hint.textContent = solid.count ? how : "Nothing of it lies above this threshold: lower it.";
    again();
  }

  function turn(yaw, pitch) {
    place.yaw += yaw;
    place.pitch = limited(place.pitch + pitch, -HIGHEST, HIGHEST);
    again();
  }

  on.onpointerdown = event => on.setPointerCapture(event.pointerId);
  on.onpointermove = event => {
    if (on.hasPointerCapture(event.pointerId)) turn(-0.01 * event.movementX, 0.01 * event.movementY);
  };
  on.onkeydown = event => {
    const way = {ArrowLeft: [STEP, 0], ArrowRight: [-STEP, 0], ArrowUp: [0, STEP], ArrowDown: [0, -STEP], Home: []}[event.key];
    if (!way) return;
    event.preventDefault();
    if (!way.length) Object.assign(place, FIRST);
    turn(...way.length ? way : [0, 0]);
  };
  slider.oninput = cut;
  spin.onclick = () => {
    spinning = !spinning;
    spin.setAttribute("aria-pressed", spinning);
    spin.textContent = spinning ? "Stop" : "Spin";
    again();
  };
  new ResizeObserver(again).observe(on);
  cut();
  return {
    element: frame,
    saves: "GLB",
    show(found) {
      sample = found;
      cut();
    },
    save: async () => ({blob: glb(sample, Number(slider.value), COLOUR), suffix}),
  };
}
