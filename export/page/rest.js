// Samples made by the server. The interface of litert.js, as page.js says.
import {kindOf, known, latest} from "./dom.js";

export const about = "The pictures are made by this server.";
const NOISE = ["seed", "to", "at", "directions", "truncation"];

let info, model;  // model: which one answers
let change = () => {};

// A server that is being started has no model yet.
export async function load(waits) {
  for (let tries = 0; ; tries++) {
    try {
      const response = await answer("generator.json", {}, 0);
      model = response.headers.get("x-model");
      return info = known(await response.json());
    } catch (error) {
      if (error.status !== 503 && !(tries && error.status === undefined)) throw error;
      waits(error.status === 503 ? "The server is there and loads its model …" : `${error.message} The page tries again.`);
      await new Promise(done => setTimeout(done, 1000));
    }
  }
}

export function renewed(work) {
  change = work;
}

// Once more where the answers of two models have crossed.
const renew = latest(async () => {
  const response = await fetch("generator.json").catch(() => null);
  if (!response?.ok) return;
  model = response.headers.get("x-model");
  Object.assign(info, await response.json());
  change();
});

// Points and signals come as numbers, and are drawn as in a web export: for the size that they are shown at.
export async function image(place, side) {
  const [name] = Object.keys(info.functions), [output] = info.functions[name].outputs;
  const kind = await kindOf(output);
  if (kind.cloud) return make(name, place, output, side);
  if (kind.numbers) return kind.drawn(await make(name, place, output, side));
  const blob = await (await answer(address(place))).blob();
  // as they are: a canvas is to show the pixels that the server sent
  return createImageBitmap(blob, {colorSpaceConversion: "none", premultiplyAlpha: "none"});
}

export async function make(name, place, output, side) {
  const kind = await kindOf(output), form = new FormData();
  for (const [part, value] of await parts(name, place)) form.append(part, ...[value].flat());
  const blob = await (await answer(target(name, output, kind), {method: "POST", body: form})).blob();
  const behind = kind.cloud && info.behind?.length ? info.behind : undefined;
  return kind.read(blob, output, behind, behind && kind.range(behind), side);
}

// Pairs of a form: its parts' names, and texts or [file, its name].
async function parts(name, place) {
  const found = [];
  for (const field of info.functions[name].inputs) {
    if (field.kind === "noise") {
      found.push(...NOISE.map(part => [part, told(place, part)]).filter(([, value]) => value !== null));
    } else found.push([field.name, await (await kindOf(field)).part(place[field.name])]);
  }
  return found;
}

function told(place, part) {
  if (part === "directions") return place.directions?.some(Boolean) ? place.directions.join() : null;
  if (part === "at" && (place.to ?? null) === null) return null;
  return place[part] === undefined || place[part] === null ? null : String(place[part]);
}

function target(name, output, kind) {
  const [first] = info.functions[name].outputs;
  const query = new URLSearchParams(output.name === first.name ? {} : {output: output.name});
  if (kind.media !== "image/png") query.set("media", kind.media);
  return `make/${encodeURIComponent(name)}${query.size ? `?${query}` : ""}`;
}

export const copied = {
  what: "curl command",
  async text(place, name, direct) {
    if (direct) return `curl -o sample-${place.seed}.png ${quoted(new URL(address(place), document.baseURI))}`;
    const {suffix} = await kindOf(info.functions[name].outputs[0]);
    const url = new URL(`make/${encodeURIComponent(name)}`, document.baseURI);
    const sent = (await parts(name, place)).map(([part, value]) =>
      `-F ${quoted(`${part}=${Array.isArray(value) ? `@${value[1]}` : value}`)}`);
    return `curl -o ${info.name}${suffix} ${sent.join(" ")} ${quoted(url)}`;
  },
};

const quoted = text => `'${String(text).replaceAll("'", "'\\''")}'`;

export function gif({seed, to, ...more}) {
  if (to === null) return null;
  const {kind, shape} = Object.values(info.functions)[0].outputs[0], {max_images, max_scale} = info.limits;
  // viewers show a file as small as it is
  const scale = kind === "image" ? Math.min(max_scale, Math.max(1, Math.round(256 / Math.max(shape[1], shape[2])))) : 1;
  return `interpolate.gif?from=${seed}&to=${to}&steps=${Math.min(24, max_images)}&scale=${scale}${beside(more)}`;
}

function address({seed, to = null, at = 0, ...more}) {
  return `image.png?seed=${seed}${to === null ? "" : `&to=${to}&at=${at}`}${beside(more)}`;
}

// What every picture of the server takes, whichever it is.
function beside({directions = [], label = null, truncation = null}) {
  return (directions.some(Boolean) ? `&directions=${directions.join(",")}` : "")
    + (label === null ? "" : `&label=${encodeURIComponent(label)}`) + (truncation === null ? "" : `&truncation=${truncation}`);
}

// `tries`: how often it is asked again where the server has no room now.
async function answer(path, request, tries = 5) {
  let response;
  try {
    response = await fetch(path, request);
  } catch {
    throw new Error("The server does not answer. Is it still running? Start it again, then change anything here.");
  }
  const found = response.headers.get("x-model");
  if (model && found && found !== model) renew();
  if (response.ok) return response;
  const later = Number(response.headers.get("retry-after"));
  if (later && tries) {
    await new Promise(done => setTimeout(done, 1000 * later));
    return answer(path, request, tries - 1);
  }
  const reason = await response.json().then(body => body.error).catch(() => null);
  const error = new Error(`The server could not do that: ${reason ?? `${response.status} ${response.statusText}`}`);
  throw Object.assign(error, {part: reason?.split(":")[0], status: response.status});
}
