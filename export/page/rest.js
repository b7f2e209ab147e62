// Pictures made by the server. The interface of litert.js, as page.js says.
export const about = "The pictures are made by this server.";

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

export const copied = {
  what: "curl command",
  text: async place => `curl -o sample-${place.seed}.png '${new URL(address(place), document.baseURI)}'`,
};

export function gif({seed, to, label, truncation}) {
  if (to === null) return null;
  const {shape} = info.output, {max_images, max_scale} = info.limits;
  // viewers show a file as small as it is
  const scale = shape.length === 4 ? Math.min(max_scale, Math.max(1, Math.round(256 / Math.max(shape[1], shape[2])))) : 1;
  return `interpolate.gif?from=${seed}&to=${to}&steps=${Math.min(24, max_images)}&scale=${scale}${beside(label, truncation)}`;
}

function address({seed, to = null, at = 0, directions = [], label = null, truncation = null}) {
  let found = `image.png?seed=${seed}`;
  if (to !== null) found += `&to=${to}&at=${at}`;
  if (directions.some(Boolean)) found += `&directions=${directions.join(",")}`;
  return found + beside(label, truncation);
}

function beside(label, truncation) {
  const kind = label === null ? "" : `&label=${encodeURIComponent(label)}`;
  return truncation === null ? kind : `${kind}&truncation=${truncation}`;
}

async function answer(path) {
  let response;
  try {
    response = await fetch(path);
  } catch {
    throw new Error("The server does not answer. Is it still running? Start it again, then change anything here.");
  }
  if (response.ok) return response;
  const reason = await response.json().then(body => body.error).catch(() => null);
  throw new Error(`The server could not do that: ${reason ?? `${response.status} ${response.statusText}`}`);
}
