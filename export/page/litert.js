// Samples made in this browser: NAME.tflite of each function, run by LiteRT.js. The interface of rest.js, as page.js says.
import {kindOf} from "./dom.js";
import {latent, noise} from "./latent.js";
import {Tensor, loadAndCompile, loadLiteRt} from "./litert/index.js";

export const about = "The generator runs in this browser, by LiteRT.js: nothing that you do here is sent anywhere.";

let contract, functions, cloud, range;
const models = {};  // by name of a function
let last = Promise.resolve();

export async function load() {
  if (typeof WebAssembly !== "object") {
    throw new Error("The generator needs WebAssembly, which this browser lacks or has turned off: "
                    + "allow it for this page, or open the page in another browser.");
  }
  contract = await (await answer("generator.json")).json();
  functions = Object.fromEntries(Object.entries(contract.functions).map(([name, {inputs, outputs}]) =>
    [name, {inputs: inputs.map(fixed), outputs: outputs.map(fixed)}]));
  // what it tells by the way would be shown as errors; errors come as exceptions
  self.Module = {printErr: line => console.debug(line)};
  await loadLiteRt(new URL("litert/", import.meta.url).href);
  const [first] = Object.keys(functions);
  await model(first);
  await survey(first);
  // for consoles and tests
  window.kgan = {run: (values, label) => call(first, {noise: values, label}), noise: place => draw(first, place)};
  return {...contract, functions, directions: contract.directions?.length ?? 0};
}

// One example in the size of training: a file of TFLite knows no other.
function fixed(field) {
  const size = [...field.size ?? []];
  return {...field, shape: field.shape.map((length, i) => i ? length ?? size.shift() : 1)};
}

async function model(name) {
  if (!models[name]) {
    const bytes = new Uint8Array(await (await answer(`${name}.tflite`)).arrayBuffer());
    // not by WebGPU: its results differ, and generators of this size are fast without
    models[name] = await loadAndCompile(bytes, {accelerator: "wasm"});
  }
  return models[name];
}

export async function image(place) {
  const [name] = Object.keys(functions), [output] = functions[name].outputs;
  const {drawn = sample => sample} = await kindOf(output);
  return drawn(await make(name, place, output));
}

export async function make(name, place, output) {
  const found = (await calls(name, await tensors(name, place)))[output.name];
  return (await kindOf(output)).made(found, output.shape, cloud, range);
}

// Name -> Float32Array, of a label its number.
async function tensors(name, place) {
  const found = {};
  for (const field of functions[name].inputs) {
    const {values} = await kindOf(field), given = place[field.name];
    found[field.name] = field.kind === "noise" ? draw(name, place) : values(given, field);
  }
  return found;
}

export const copied = {
  get what() {
    if (!contract.noise) return null;
    return contract.label ? "noise and label as JSON" : "noise as JSON";
  },
  text: async (place, name) => JSON.stringify({noise: [Array.from(draw(name, place))], ...contract.label && {
    label: [contract.label.classes.indexOf(place.label)]}}),
};

export const gif = () => null;

// The noise that a function takes: {kind, dim}.
function source(name) {
  const {distribution, shape} = functions[name].inputs.find(({kind}) => kind === "noise");
  return {kind: distribution.startsWith("uniform") ? "uniform" : "normal", dim: shape[1]};
}

const draw = (name, place) => noise(place, source(name), contract.directions);

const call = async (name, values) => (await calls(name, values))[functions[name].outputs[0].name];

// The outputs' values by name. One call after the other: the runtime has one input.
function calls(name, values) {
  const result = last.then(async () => {
    const compiled = await model(name), inputs = {};
    for (const field of functions[name].inputs) {
      const value = values[field.name], numbers = field.dtype === "int32" ? Int32Array : Float32Array;
      inputs[field.name] = new Tensor(typeof value === "number" ? numbers.of(value) : numbers.from(value), field.shape);
    }
    const outputs = await compiled.run(inputs), found = {};
    for (const [name, tensor] of Object.entries(outputs)) found[name] = await tensor.data();
    for (const tensor of Object.values({...inputs, ...outputs})) tensor.delete();
    return found;
  });
  last = result.catch(() => {});
  return result;
}

// What else the first function makes: behind a point or a signal it is seen where that lies.
async function survey(name) {
  const {inputs, outputs: [output]} = functions[name], kind = await kindOf(output);
  if (!kind.cloud || !contract.noise) return;
  const classes = inputs.find(field => field.kind === "label")?.classes;
  const {kind: spread, dim} = source(name);
  cloud = [];
  for (let seed = 0; seed < kind.cloud; seed++) {
    cloud.push(await call(name, {noise: latent(seed, spread, dim), label: classes && seed % classes.length}));
  }
  range = kind.range(cloud);
}

async function answer(name) {
  const response = await fetch(new URL(name, import.meta.url));
  if (response.ok) return response;
  throw new Error(`${name} is not beside this page (${response.status}): copy its whole folder, or export it again.`);
}
