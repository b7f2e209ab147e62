// A number, one an example.
import {element} from "../dom.js";

export const part = value => String(value);
export const values = value => value;
export const source = ({name}) => name;

export function control(field, page) {
  const label = element('<label class="named pair"><span></span> <input type="number" step="any"></label>');
  const input = label.querySelector("input"), [low, high] = field.range ?? [null, null];
  let value = field.default ?? (low === null ? 0 : (low + high) / 2);
  label.firstElementChild.textContent = field.name;
  if (low !== null) Object.assign(input, {min: low, max: high});
  // The number in a text; null: none, or none that may be.
  const read = text => {
    const found = text.trim() === "" ? NaN : Number(text);
    return Number.isFinite(found) && (low === null || found >= low && found <= high) ? found : null;
  };
  const needed = low === null ? "a number is needed" : `a number from ${low} to ${high} is needed`;
  input.onchange = () => {
    const found = read(input.value);
    if (found === null) {
      input.setAttribute("aria-invalid", true);
      return page.wrong(`${field.name} ${input.value || "without a number"}: ${needed}.`);
    }
    value = found;
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
      const wanted = query.get(field.name), found = read(wanted ?? "");
      value = found ?? value;
      return wanted === null || found !== null ? [] : [`${field.name}=${wanted} (${needed})`];
    },
    refresh() {
      input.removeAttribute("aria-invalid");
      input.value = value;
    },
    words: () => [`${field.name} ${value}`],
    file: () => `${field.name}-${value}`,
  };
}
