// Samples made in this browser: NAME.tflite of each function, run by LiteRT.js. The interface of rest.js, as page.js says.
import {kindOf, known} from "./dom.js";
import {latent, noise} from "./latent.js";
import {Tensor, loadAndCompile, loadLiteRt} from "./litert/index.js";

export const about = "The generator runs in this browser, by LiteRT.js: nothing that you do here is sent anywhere.";

let contract, functions, cloud, range;
const models = {};  // by name of a function
let last = Promise.resolve();

export const load = waits => counted(waits, prepare);

async function prepare() {
  if (typeof WebAssembly !== "object") {
    throw new Error("The generator needs WebAssembly, which this browser lacks or has turned off: "
                    + "allow it for this page, or open the page in another browser.");
  }
  contract = known(await (await answer("generator.json")).json());
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
    const bytes = new Uint8Array(await (await answer(`${name}.tflite`)).arrayBuffer()), sum = contract.sha256?.[name];
    // browsers have it for https and localhost alone
    if (sum && self.crypto?.subtle && await sha256(bytes) !== sum) {
      throw new Error(`${name}.tflite is not that which generator.json tells of: load the page again; if that does not help, copy `
                      + "the whole folder of one export.");
    }
    // not by WebGPU: its results differ, and generators of this size are fast without
    models[name] = await loadAndCompile(bytes, {accelerator: "wasm"});
  }
  return models[name];
}

async function sha256(bytes) {
  const found = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
  return Array.from(found, byte => byte.toString(16).padStart(2, "0")).join("");
}

export async function image(place, side) {
  const [name] = Object.keys(functions), [output] = functions[name].outputs;
  const {drawn = sample => sample} = await kindOf(output);
  return drawn(await make(name, place, output, side));
}

export async function make(name, place, output, side) {
  const found = (await calls(name, await tensors(name, place)))[output.name];
  return (await kindOf(output)).made(found, output.shape, cloud, range, side, output);
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

const lacking = (name, {status}) => `${name} is not beside this page (${status}): copy its whole folder, or export it again.`;

// What `work` comes to. Meanwhile what it fetches is counted, and an error names the file that did not come.
async function counted(waits, work) {
  const plain = self.fetch, sizes = {};
  let failed = null;
  const shown = () => {
    const [come, whole] = [0, 1].map(k => Object.values(sizes).reduce((sum, size) => sum + size[k], 0) / 1e6);
    waits(`Loading the generator: ${come.toFixed(1)} MB${whole ? ` of ${Math.max(come, whole).toFixed(1)} MB` : ""} …`);
  };
  self.fetch = async (request, ...more) => {
    const name = new URL(request.url ?? request, location.href).pathname.split("/").pop();
    let response;
    try {
      response = await plain(request, ...more);
    } catch (error) {
      failed = `${name} does not come (${error.message}): is the line there, and the server running? Then load the page again.`;
      throw error;
    }
    failed = response.ok ? null : lacking(name, response);
    if (failed || !response.body) return response;
    // where it is compressed the length is another
    sizes[name] = [0, response.headers.get("content-encoding") ? 0 : Number(response.headers.get("content-length"))];
    const body = response.body.pipeThrough(new TransformStream({transform(part, to) {
      sizes[name][0] += part.length;
      shown();
      to.enqueue(part);
    }}));
    return new Response(body, {status: response.status, headers: response.headers});
  };
  try {
    return await work();
  } catch (error) {
    throw failed ? new Error(failed) : error;
  } finally {
    self.fetch = plain;
  }
}

async function answer(name) {
  const response = await fetch(new URL(name, import.meta.url), {cache: "no-cache"});  // not that of an older export
  if (response.ok) return response;
  throw new Error(lacking(name, response));
}
