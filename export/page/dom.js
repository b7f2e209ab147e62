// What page.js and the kinds share of the browser's own.
export const LARGEST = 2 ** 31 - 1;  // seed

const FORMAT = 1;  // of generator.json, as export/__init__.py has it

// The dict in generator.json, if this page knows what it says.
export function known(contract) {
  const {format = 0} = contract;
  if (format >= 0 && format <= FORMAT) return contract;
  throw new Error(`generator.json is of format ${format}, and this page knows ${FORMAT}: load the page again; if that does not help, `
                  + "its files are of an older export than that one.");
}

// The first element of some HTML of ours; what a model or a visitor says is put in as text, never as HTML.
export function element(html) {
  const template = document.createElement("template");
  template.innerHTML = html;
  return template.content.firstElementChild;
}

export function canvas(width, height) {
  return Object.assign(document.createElement("canvas"), {width, height});
}

// Shows a picture on a canvas, in the picture's own pixels.
export function show(on, picture) {
  on.width = picture.width;
  on.height = picture.height;
  // larger than it is, a photograph or a plot is smoothed, and pixels are shown as such
  on.classList.toggle("small", picture.width < Math.min(256, on.clientWidth));
  on.getContext("2d").drawImage(picture, 0, 0);
}

// The newest wish alone is fulfilled: sliders wish more often than a generator draws.
export function latest(work) {
  let running = null, again = false;
  return () => {
    again = true;
    running ??= (async () => {
      while (again) {
        again = false;
        await work();
      }
      running = null;
    })();
    return running;
  };
}

// The module of a kind: its files are what there is to mount.
export async function kindOf({kind}) {
  try {
    if (/^[a-z]+$/.test(kind)) return await import(`./kinds/${kind}.js`);
  } catch {}  // said below
  throw new Error(`${kind} is no kind that this page knows: load it again, or export with the version that made the model.`);
}

export const integer = text => /^\d{1,10}$/.test(text ?? "") && Number(text) <= LARGEST ? Number(text) : null;
export const limited = (value, low, high) => Number.isFinite(value) ? Math.min(high, Math.max(low, value)) : 0;
