// Plots of points and signals: a sample before others, made for the size that it is shown at; large ones have axes.
import {canvas, limited} from "./dom.js";

const PAPER = "#fff", FAINT = "#c9ced6", INK = "#1f77b4", TEXT = "#555", GRID = "#e9ebee";
export const LARGE = 300;  // pixels from which on a plot has axes
const ROOM = [44, 22], EDGE = 8;  // pixels for the numbers along the axes: to the left and below; at the other edges

// [low, high] with some room around values.
export function span(values, least = 1e-6) {
  const low = values.reduce((a, b) => Math.min(a, b)), high = values.reduce((a, b) => Math.max(a, b));
  const room = Math.max(0.55 * (high - low), least);
  return [(low + high) / 2 - room, (low + high) / 2 + room];
}

// A canvas of width × height; draw(dot, line): dot([x, y], radius, kind), line([[x, y], …], width, kind), with sizes for a plot of
// LARGE pixels, kind "behind" or "before".
export function plot(width, height, [across, up], draw) {
  const sheet = canvas(width, height), pen = sheet.getContext("2d"), axes = width >= LARGE;
  const [left, bottom, edge] = axes ? [ROOM[0], height - ROOM[1], EDGE] : [width / 16, height - height / 16, width / 16];
  const scale = (1 + width / LARGE) / 2;  // what is small is drawn relatively larger, to be seen
  // what is far outside is at the edge, as the server draws it, and not out of sight
  const x = value => limited(left + (value - across[0]) / (across[1] - across[0]) * (width - edge - left), left, width - edge);
  const y = value => limited(bottom - (value - up[0]) / (up[1] - up[0]) * (bottom - edge), edge, bottom);
  const colour = kind => kind === "behind" ? FAINT : INK;
  pen.fillStyle = PAPER;
  pen.fillRect(0, 0, width, height);
  if (axes) frame(pen, {x, y, left, bottom, right: width - edge, top: edge}, across, up);
  pen.lineJoin = "round";
  draw((place, radius, kind) => {
    pen.fillStyle = colour(kind);
    pen.beginPath();
    pen.arc(x(place[0]), y(place[1]), radius * scale, 0, 2 * Math.PI);
    pen.fill();
  }, (places, thick, kind) => {
    pen.strokeStyle = colour(kind);
    pen.lineWidth = thick * scale;
    pen.beginPath();
    places.forEach(place => pen.lineTo(x(place[0]), y(place[1])));
    pen.stroke();
  });
  return sheet;
}

function frame(pen, {x, y, left, bottom, right, top}, across, up) {
  pen.font = "12px system-ui, sans-serif";
  for (const value of ticks(...across)) {
    Object.assign(pen, {fillStyle: GRID});
    pen.fillRect(Math.round(x(value)), top, 1, bottom - top);
    Object.assign(pen, {fillStyle: TEXT, textAlign: "center", textBaseline: "top"});
    pen.fillText(said(value), x(value), bottom + 5);
  }
  for (const value of ticks(...up)) {
    Object.assign(pen, {fillStyle: GRID});
    pen.fillRect(left, Math.round(y(value)), right - left, 1);
    Object.assign(pen, {fillStyle: TEXT, textAlign: "right", textBaseline: "middle"});
    pen.fillText(said(value), left - 5, y(value));
  }
}

const said = value => String(Number(value.toPrecision(4)));

// Three to seven round numbers from low to high.
export function ticks(low, high) {
  if (!(high > low)) return [];
  const power = 10 ** Math.floor(Math.log10((high - low) / 3));
  const step = power * [5, 2, 1].find(factor => (high - low) / (factor * power) >= 3), first = Math.ceil(low / step);
  return Array.from({length: Math.floor(high / step) - first + 1}, (_, i) => (first + i) * step);
}
