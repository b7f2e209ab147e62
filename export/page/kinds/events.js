// Events: a list of notes, shown, played and saved as a roll of one track. Shapes are [1, notes, 4]: steps since the note before,
// length, pitch above the lowest, loudness, each from -1 to 1.
import * as roll from "./notes.js";

export const media = roll.media, suffix = roll.suffix;
const MOST = [16, 16, 47, 127], BAR = 16, PITCHES = 48;  // as in kgan.kinds.events

export const words = ({shape}) => `pieces of ${shape[1] ?? "any number of"} notes`;

export const made = (values, shape) => rolled({values, size: shape.slice(1)});

export const read = async blob => rolled(await roll.read(blob));

// {values, size} of a roll of one track.
export function rolled({values, size: [count]}) {
  const number = (i, k) => Math.min(MOST[k], Math.max(0, Math.round((values[4 * i + k] + 1) * MOST[k] / 2)));
  const notes = [];
  for (let i = 0, start = 0; i < count; i++) {
    start += i ? number(i, 0) : 0;
    if (number(i, 3)) notes.push({start, end: start + Math.max(1, number(i, 1)), pitch: number(i, 2)});
  }
  const bars = Math.max(1, Math.ceil(Math.max(0, ...notes.map(({end}) => end)) / BAR)), found = new Float32Array(bars * BAR * PITCHES).fill(-1);
  for (const {start, end, pitch} of notes) {
    for (let t = start; t < end; t++) found[t * PITCHES + pitch] = 1;
    if (start) found[(start - 1) * PITCHES + pitch] = -1;  // a note that is struck again is another
  }
  return {values: found, size: [bars, BAR, PITCHES, 1]};
}

export const view = roll.view;
