// Signals: a line before what else the generator makes.
import {plot, span} from "../plot.js";
import {picture} from "./image.js";

export const flat = true, media = "application/json", suffix = ".json", cloud = 48;
export const words = ({shape}) => `signals of ${shape[1]} values`;
export const view = () => picture();

export const range = samples => [[0, samples[0].length - 1], span(samples.flatMap(signal => [...signal]))];

const places = signal => Array.from(signal, (value, i) => [i, value]);

export function made(values, shape, samples = [values], ranges = range(samples), side = 480) {
  return plot(side, Math.round(0.75 * side), ranges, (_, line) => {
    samples.forEach(sample => line(places(sample), 0.6, "behind"));
    line(places(values), 3, "before");
  });
}

export const read = async (blob, {shape}, behind, ranges, side) => made(JSON.parse(await blob.text()), shape, behind, ranges, side);
