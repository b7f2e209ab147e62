// Signals: a line before what else the generator makes.
import {canvas} from "../dom.js";
import {picture} from "./image.js";
import {FAINT, INK, PAPER, span} from "./points.js";

export const flat = true, media = "application/json", cloud = 48;
export const words = ({shape}) => `signals of ${shape[1]} values`;
export const view = () => picture();

export const range = samples => [[0, samples[0].length - 1], span(samples.flatMap(signal => [...signal]))];

export function made(values, shape, samples, [across, up]) {
  const sheet = canvas(480, 360), pen = sheet.getContext("2d");
  const to = (value, [low, high], length) => (value - low) / (high - low) * length;
  const line = (signal, width, colour) => {
    pen.strokeStyle = colour;
    pen.lineWidth = width;
    pen.beginPath();
    signal.forEach((value, i) => pen.lineTo(to(i, across, sheet.width), sheet.height - to(value, up, sheet.height)));
    pen.stroke();
  };
  pen.fillStyle = PAPER;
  pen.fillRect(0, 0, sheet.width, sheet.height);
  pen.lineJoin = "round";
  samples.forEach(sample => line(sample, 1, FAINT));
  line(values, 6, INK);
  return sheet;
}
