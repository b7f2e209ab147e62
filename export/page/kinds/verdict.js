// What a classifier says: its likeliest classes, in words.
import {element} from "../dom.js";

export const media = "application/json", suffix = ".json";
export const words = ({shape}) => `what a classifier says of ${shape[1]} classes`;

const SHOWN = 3, LEAST = 0.005;

export function view(field) {
  const on = element('<div class="verdict"><span class="quiet"></span> <output></output></div>');
  on.firstElementChild.textContent = `${field.name.replaceAll("_", " ")}:`;
  let values = [];
  return {
    element: on,
    saves: "JSON",
    scales: false,
    show(sample) {
      values = [...sample];
      const order = values.map((value, i) => [value, field.classes?.[i] ?? `class ${i}`]).sort(([a], [b]) => b - a);
      const said = order.filter(([value], i) => !i || i < SHOWN && value >= LEAST);
      on.lastElementChild.textContent = said.map(([value, name]) => `${name} ${Math.round(100 * value)} %`).join(", ");
    },
    save: async () => ({blob: new Blob([JSON.stringify(values)], {type: media}), suffix}),
  };
}

export const read = async blob => JSON.parse(await blob.text());
export const made = values => values;
