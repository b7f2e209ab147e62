// Samples made by the server. The interface of litert.js, as page.js says.
import {kindOf} from "./dom.js";

export const about = "The pictures are made by this server.";
const NOISE = ["seed", "to", "at", "directions", "truncation"];

let info;

export async function load() {
  info = await (await answer("generator.json")).json();
  return info;
}

export async function image(place) {
  const blob = await (await answer(address(place))).blob();
  // as they are: a canvas is to show the pixels that the server sent
  return createImageBitmap(blob, {colorSpaceConversion: "none", premultiplyAlpha: "none"});
}

export async function make(name, place, output) {
  const kind = await kindOf(output), form = new FormData();
  for (const [part, value] of await parts(name, place)) form.append(part, ...[value].flat());
  return kind.read(await (await answer(target(name, output, kind), {method: "POST", body: form})).blob());
}

// Pairs of a form: its parts' names, and texts or [file, its name].
async function parts(name, place) {
  const found = [];
  for (const field of info.functions[name].inputs) {
    if (field.kind === "noise") {
      found.push(...NOISE.map(part => [part, told(place, part)]).filter(([, value]) => value !== null));
    } else found.push([field.name, (await kindOf(field)).part(place[field.name])]);
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

async function answer(path, request) {
  let response;
  try {
    response = await fetch(path, request);
  } catch {
    throw new Error("The server does not answer. Is it still running? Start it again, then change anything here.");
  }
  if (response.ok) return response;
  const reason = await response.json().then(body => body.error).catch(() => null);
  const error = new Error(`The server could not do that: ${reason ?? `${response.status} ${response.statusText}`}`);
  throw Object.assign(error, {part: reason?.split(":")[0]});
}
