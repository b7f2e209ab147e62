// Points in the plane: a dot before what else the generator makes.
import {plot, span} from "../plot.js";
import {picture} from "./image.js";

export const flat = true, media = "application/json", suffix = ".json", cloud = 256;  // samples behind one, which set the scale
export const words = () => "points";
export const view = () => picture();

// The scale of a plot of samples: [low, high] of both axes, on which a unit is as long.
export function range(samples) {
  const ends = [0, 1].map(k => span(samples.map(point => point[k])));
  const room = Math.max(...ends.map(([low, high]) => high - low)) / 2;
  return ends.map(([low, high]) => [(low + high) / 2 - room, (low + high) / 2 + room]);
}

// A canvas of a sample before others, of `side` pixels.
export function made(values, shape, samples = [values], ranges = range(samples), side = 480) {
  return plot(side, side, ranges, dot => {
    samples.forEach(sample => dot(sample, 2, "behind"));
    dot(values, 7, "before");
  });
}

export const read = async (blob, {shape}, behind, ranges, side) => made(JSON.parse(await blob.text()), shape, behind, ranges, side);
