// A label: the name of one of the classes, or each in turn where seeds are counted.
import {element} from "../dom.js";

export const part = name => name;
export const values = (name, {classes}) => classes.indexOf(name);
export const source = () => null;  // the classes are counted by themselves

export function control(field, page) {
  const label = element('<label id="class" class="named">Class <select id="label"></select></label>');
  const select = label.firstElementChild, turns = page.turns;
  let chosen = null;
  if (turns) select.append(new Option("Each in turn", ""));
  select.append(...field.classes.map((name, i) => new Option(name, i)));
  label.hidden = !field.classes.length;
  select.onchange = () => {
    chosen = field.classes[select.value] ?? null;
    page.changed();
    page.drawAll();
  };
  return {
    elements: [label],
    small: true,
    ready: () => true,
    inTurn: () => turns && chosen === null,
    // in turn, each seed has a class of its own, and the way from it stays in that
    add(found) {
      found[field.name] = chosen ?? field.classes[turns ? found.seed % field.classes.length : 0];
    },
    write(query) {
      if (chosen !== null) query.set(field.name, chosen);
    },
    restore(query) {
      const wanted = query.get(field.name);
      chosen = field.classes.find(name => name === wanted) ?? null;
      return wanted === null || chosen !== null ? [] : [`${field.name}=${wanted} (there is no such class)`];
    },
    refresh() {
      select.value = chosen === null ? (turns ? "" : 0) : field.classes.indexOf(chosen);
    },
    words: place => [`class ${place[field.name]}`],
    file: place => place[field.name].replace(/[^\p{L}\p{N}]+/gu, "_"),
  };
}
