// Points in the plane: a dot before what else the generator makes.
import {canvas} from "../dom.js";
import {picture} from "./image.js";

export const flat = true, media = "application/json", cloud = 256;  // samples behind one, which set the scale
export const words = () => "points";
export const view = () => picture();
export const PAPER = "#fff", FAINT = "#c9ced6", INK = "#1f77b4";

// [low, high] with some room around values.
export function span(values, least = 1e-6) {
  const low = values.reduce((a, b) => Math.min(a, b)), high = values.reduce((a, b) => Math.max(a, b));
  const room = Math.max(0.55 * (high - low), least);
  return [(low + high) / 2 - room, (low + high) / 2 + room];
}

// The scale of a plot of samples: [low, high] of both axes, on which a unit is as long.
export function range(samples) {
  const ends = [0, 1].map(k => span(samples.map(point => point[k])));
  const room = Math.max(...ends.map(([low, high]) => high - low)) / 2;
  return ends.map(([low, high]) => [(low + high) / 2 - room, (low + high) / 2 + room]);
}

// A canvas of a sample before others.
export function made(values, shape, samples, [across, up]) {
  const sheet = canvas(480, 480), pen = sheet.getContext("2d");
  const to = (value, [low, high], length) => (value - low) / (high - low) * length;
  const dot = (point, radius, colour) => {
    pen.fillStyle = colour;
    pen.beginPath();
    pen.arc(to(point[0], across, sheet.width), sheet.height - to(point[1], up, sheet.height), radius, 0, 2 * Math.PI);
    pen.fill();
  };
  pen.fillStyle = PAPER;
  pen.fillRect(0, 0, sheet.width, sheet.height);
  samples.forEach(sample => dot(sample, 3, FAINT));
  dot(values, 13, INK);
  return sheet;
}
