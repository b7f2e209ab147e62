// Pictures made in this browser: generator.tflite run by LiteRT.js. The interface of rest.js, as page.js says.
import {Tensor, loadAndCompile, loadLiteRt} from "./litert/index.js";

export const about = "The generator runs in this browser, by LiteRT.js: nothing that you do here is sent anywhere.";

const CLOUD = {points: 256, signals: 48};  // samples drawn behind a point or a signal, which set the scale
const PAPER = "#fff", FAINT = "#c9ced6", INK = "#1f77b4";

let contract, model, cloud, range;
let last = Promise.resolve();

export async function load() {
  if (typeof WebAssembly !== "object") {
    throw new Error("The generator needs WebAssembly, which this browser lacks or has turned off: "
                    + "allow it for this page, or open the page in another browser.");
  }
  contract = await (await answer("generator.json")).json();
  const bytes = new Uint8Array(await (await answer("generator.tflite")).arrayBuffer());
  // what it tells by the way would be shown as errors; errors come as exceptions
  self.Module = {printErr: line => console.debug(line)};
  await loadLiteRt(new URL("litert/", import.meta.url).href);
  // not by WebGPU: its results differ, and generators of this size are fast without
  model = await loadAndCompile(bytes, {accelerator: "wasm"});
  if (contract.output.shape.length === 2) await survey();
  window.kgan = {run, noise};  // for consoles and tests
  return {...contract, directions: contract.directions.length};
}

export async function image(place) {
  const values = await run(noise(place), number(place));
  return contract.output.shape.length === 4 ? pixels(values) : drawing(values);
}

export const copied = {
  get what() { return contract.label ? "noise and label as JSON" : "noise as JSON"; },
  text: async place => JSON.stringify({noise: [Array.from(noise(place))], ...contract.label && {label: [number(place)]}}),
};

export const gif = () => null;

// Float32Array of D numbers, and the number of a class if there are any, to one of the values of a sample. One call after
// the other: the runtime has one input.
function run(values, label) {
  const result = last.then(async () => {
    const inputs = {noise: new Tensor(Float32Array.from(values), [1, contract.noise.dim])};
    if (contract.label) inputs.label = new Tensor(Int32Array.of(label), [1]);
    const outputs = await model.run(inputs);
    const found = await outputs[contract.output.name].data();
    for (const tensor of Object.values({...inputs, ...outputs})) tensor.delete();
    return found;
  });
  last = result.catch(() => {});
  return result;
}

function number({label}) {
  return contract.label?.classes.indexOf(label);
}

// === Noise ===

function noise({seed, to = null, at = 0, directions = [], truncation = null}) {
  const start = latent(seed), between = contract.noise.kind === "normal" ? slerp : lerp;
  const found = to === null ? start : between(start, latent(to), at);
  directions.forEach((offset, k) => contract.directions[k].forEach((value, i) => { found[i] += offset * value; }));
  // the generator knows nothing outside the cube
  if (contract.noise.kind !== "normal") return found.map(value => Math.min(1, Math.max(-1, value)));
  return truncation === null ? found : found.map(value => truncated(value, truncation));
}

// kgan.gan.truncate: the place of z in the normal distribution that is cut at ± bound, |z'| = -Φ⁻¹(T + Φ(-|z|) (1 - 2T)).
function truncated(z, bound) {
  const least = normal(-bound), wanted = least + normal(-Math.abs(z)) * (1 - 2 * least);
  let x = 0;
  // Newton's method: Φ(-x) is convex where x > 0, so that it comes from below and cannot go too far
  for (let i = 0, step = 1; i < 50 && step > 1e-9; i++) {
    step = (normal(-x) - wanted) * Math.sqrt(2 * Math.PI) * Math.exp(x * x / 2);
    x += step;
  }
  return Math.sign(z) * Math.min(x, bound);
}

// Φ, by the series of Marsaglia 2004, "Evaluating the Normal Distribution": to 1e-15.
function normal(x) {
  if (Math.abs(x) > 8) return x < 0 ? 0 : 1;
  let sum = x, term = x, before = 0;
  for (let i = 3; sum !== before; i += 2) {
    before = sum;
    term *= x * x / i;
    sum += term;
  }
  return 0.5 + sum * Math.exp(-x * x / 2) / Math.sqrt(2 * Math.PI);
}

// The noise of a seed. Not that which kgan or the server draws: theirs is TensorFlow's generator.
function latent(seed) {
  const found = new Float32Array(contract.noise.dim);
  for (let i = 0; i < found.length; i++) {
    const u = uniform(seed, 2 * i), v = uniform(seed, 2 * i + 1);
    // Box-Muller
    found[i] = contract.noise.kind === "normal" ? Math.sqrt(-2 * Math.log(u)) * Math.cos(2 * Math.PI * v) : 2 * u - 1;
  }
  return found;
}

// In (0, 1): SplitMix (Steele et al. 2014), from a place that the seed chooses.
function uniform(seed, i) {
  return (mix(mix(seed + 1) + Math.imul(i, 0x9e3779b9)) + 0.5) / 2 ** 32;
}

// The last step of MurmurHash3, which makes of neighbouring numbers distant ones.
function mix(x) {
  x = Math.imul(x ^ x >>> 16, 0x85ebca6b);
  x = Math.imul(x ^ x >>> 13, 0xc2b2ae35);
  return (x ^ x >>> 16) >>> 0;
}

function lerp(a, b, t) {
  return a.map((value, i) => value + t * (b[i] - value));
}

// kgan.latent.slerp: along the great circle, straight where there is no one circle
function slerp(a, b, t) {
  const m = Math.hypot(...a), n = Math.hypot(...b);
  const [apart, along] = [-1, 1].map(sign => Math.hypot(...a.map((value, i) => value / m + sign * b[i] / n)));
  const angle = 2 * Math.atan2(apart, along), sine = Math.sin(angle);
  if (!(sine > 1e-6)) return lerp(a, b, t);
  return a.map((value, i) => (Math.sin((1 - t) * angle) * value + Math.sin(t * angle) * b[i]) / sine);
}

// === Pictures ===

function canvas(width, height) {
  return Object.assign(document.createElement("canvas"), {width, height});
}

function pixels(values) {
  const [, height, width, channels] = contract.output.shape;
  const sheet = canvas(width, height), data = new ImageData(width, height);
  const colours = channels < 3 ? [0, 0, 0] : [0, 1, 2], alpha = channels % 2 ? null : channels - 1;
  for (let i = 0; i < width * height; i++) {
    const level = channel => (values[i * channels + channel] + 1) * 127.5;  // the array rounds and cuts
    data.data.set([...colours.map(level), alpha === null ? 255 : level(alpha)], 4 * i);
  }
  sheet.getContext("2d").putImageData(data, 0, 0);
  return sheet;
}

async function survey() {
  const points = contract.output.shape[1] === 2;
  cloud = [];
  for (let seed = 0; seed < CLOUD[points ? "points" : "signals"]; seed++) {
    cloud.push(await run(latent(seed), contract.label && seed % contract.label.classes.length));
  }
  const span = (values, least) => {
    const low = values.reduce((a, b) => Math.min(a, b)), high = values.reduce((a, b) => Math.max(a, b));
    const room = Math.max(0.55 * (high - low), least);
    return [(low + high) / 2 - room, (low + high) / 2 + room];
  };
  const [x, y] = [0, 1].map(k => span(cloud.map(point => point[k]), 1e-6));
  // a unit is as long in both directions of a plane
  const room = Math.max(x[1] - x[0], y[1] - y[0]) / 2;
  range = points ? [x, y].map(([low, high]) => [(low + high) / 2 - room, (low + high) / 2 + room])
    : [[0, contract.output.shape[1] - 1], span(cloud.flatMap(signal => [...signal]), 1e-6)];
}

// A point in the plane or a signal as a line, before what else the generator makes.
function drawing(values) {
  const points = values.length === 2, sheet = points ? canvas(480, 480) : canvas(480, 360);
  const pen = sheet.getContext("2d");
  const to = (value, [low, high], length) => (value - low) / (high - low) * length;
  const x = value => to(value, range[0], sheet.width), y = value => sheet.height - to(value, range[1], sheet.height);
  const dot = (point, radius) => {
    pen.beginPath();
    pen.arc(x(point[0]), y(point[1]), radius, 0, 2 * Math.PI);
    pen.fill();
  };
  const line = (signal, width) => {
    pen.beginPath();
    signal.forEach((value, i) => pen.lineTo(x(i), y(value)));
    pen.lineWidth = width;
    pen.stroke();
  };
  const [draw, thin, thick] = points ? [dot, 3, 13] : [line, 1, 6];
  pen.fillStyle = PAPER;
  pen.fillRect(0, 0, sheet.width, sheet.height);
  pen.lineJoin = "round";
  pen.fillStyle = pen.strokeStyle = FAINT;
  cloud.forEach(sample => draw(sample, thin));
  pen.fillStyle = pen.strokeStyle = INK;
  draw(values, thick);
  return sheet;
}

async function answer(name) {
  const response = await fetch(new URL(name, import.meta.url));
  if (response.ok) return response;
  throw new Error(`${name} is not beside this page (${response.status}): copy its whole folder, or export it again.`);
}
