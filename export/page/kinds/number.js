// A number, one an example.
import {element} from "../dom.js";

export const part = value => String(value);
export const values = value => value;
export const source = ({name}) => name;

export function control(field, page) {
  const label = element('<label class="named pair"><span></span> <input type="number" step="any"></label>');
  const input = label.querySelector("input"), [low, high] = field.range ?? [null, null];
  let value = low === null ? 0 : (low + high) / 2;
  label.firstElementChild.textContent = field.name;
  if (low !== null) Object.assign(input, {min: low, max: high});
  input.onchange = () => {
    const found = input.value === "" ? NaN : Number(input.value);
    if (Number.isFinite(found)) value = low === null ? found : Math.min(high, Math.max(low, found));
    page.changed();
    page.drawAll();
  };
  return {
    elements: [label],
    small: true,
    ready: () => true,
    add(found) {
      found[field.name] = value;
    },
    write(query) {
      query.set(field.name, value);
    },
    restore(query) {
      const found = Number(query.get(field.name) ?? NaN);
      if (Number.isFinite(found)) value = found;
    },
    refresh() {
      input.value = value;
    },
    words: () => [`${field.name} ${value}`],
    file: () => `${field.name}-${value}`,
  };
}
