// Texts: a box to write one in, and lines to read. The server cuts a text into words by itself; here it is cut for the browser's own
// generator, as kgan.kinds.tokens does.
import {element} from "../dom.js";

export const media = "text/plain", suffix = ".txt";
export const part = text => text;
export const source = () => "a text";
export const words = ({shape, tokens}) => `texts of up to ${shape[1]} ${tokens === "characters" ? "characters" : "words"}`;

const UNKNOWN = "\uFFFD", WORD = /[\p{L}\p{N}\p{M}_]+(?:['’][\p{L}\p{N}\p{M}_]+)*|[^\p{L}\p{N}\p{M}_\s]/gu;

export function cut(text, tokens = "words") {
  const whole = text.normalize("NFC");
  if (tokens === "words") return whole.toLowerCase().match(WORD) ?? [];
  return [...whole.trim().split(/\s+/).join(" ")];
}

// The numbers of a text's words, or what is wrong with it, for people.
export function numbers(text, {shape, words: known, tokens}) {
  const parts = cut(text, tokens), length = shape[1], kind = tokens === "characters" ? "characters" : "words";
  const places = new Map(known.map((word, i) => [word, i]));
  if (!parts.length) throw new Error("Write a text.");
  if (parts.length > length) throw new Error(`The text has ${parts.length} ${kind}; at most ${length} go in.`);
  if (known[0] && parts.length < length) throw new Error(`The text has ${parts.length} ${kind}; ${length} are needed.`);
  const strange = parts.find(word => !places.has(word));
  if (strange !== undefined && !places.has(UNKNOWN)) {
    const some = known.filter(Boolean).slice(0, 40).join(", ");
    throw new Error(`“${strange}” is no word that this generator knows: ${some}${known.length > 41 ? " …" : ""}.`);
  }
  const found = new Int32Array(length);
  parts.forEach((word, i) => { found[i] = places.get(word) ?? places.get(UNKNOWN); });
  return found;
}

export const values = numbers;

export function made(values, shape, cloud, range, side, {words: known, tokens}) {
  const found = Array.from(values, number => known[number] ?? UNKNOWN);
  const end = known[0] === "" ? found.indexOf("") : -1;
  return (end < 0 ? found : found.slice(0, end)).join(tokens === "characters" ? "" : " ");
}

export const read = async blob => (await blob.text()).replace(/\n$/, "");

// === The input ===

export function control(field, page) {
  const section = element(`<section class="text">
    <h2></h2>
    <textarea rows="3" spellcheck="false"></textarea>
    <p class="problem" hidden></p>
  </section>`);
  const box = section.querySelector("textarea"), problem = section.querySelector(".problem");
  const name = field.name.charAt(0).toUpperCase() + field.name.slice(1);
  section.querySelector("h2").textContent = name;
  problem.id = `problem-${field.name}`;
  box.id = `text-${field.name}`;
  box.setAttribute("aria-label", name);
  box.setAttribute("aria-describedby", problem.id);
  let text = "";

  function complain(message) {
    problem.textContent = message;
    problem.hidden = false;
    box.setAttribute("aria-invalid", true);
    page.say(message);
  }

  function take() {
    problem.hidden = true;
    box.removeAttribute("aria-invalid");
    text = "";
    try {
      numbers(box.value, field);
      text = box.value.trim();
    } catch (error) {
      if (box.value.trim()) complain(error.message);
    }
    page.changed();
  }

  let timer = null;
  box.oninput = () => {
    clearTimeout(timer);
    timer = setTimeout(take, 300);
  };
  return {
    elements: [section],
    complain,
    ready: () => text !== "",
    add(found) {
      found[field.name] = text;
    },
    write(query) {
      if (text) query.set(field.name, text);
    },
    restore(query) {
      box.value = query.get(field.name) ?? box.value;
      take();
      return [];
    },
    words: place => [`${field.name} “${place[field.name]}”`],
    file: place => place[field.name].replace(/[^\p{L}\p{N}]+/gu, "_").slice(0, 60),
  };
}

// === The view ===

export function view(field) {
  const on = element('<p id="picture" class="written" aria-live="polite"></p>');
  let shown = "";
  return {
    element: on,
    saves: "TXT",
    show(text) {
      shown = text;
      on.textContent = text;
    },
    save: async () => ({blob: new Blob([`${shown}\n`], {type: media}), suffix}),
  };
}
