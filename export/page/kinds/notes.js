// Notes: a roll, a colour for each track, played by a plain synthesiser while a line moves over it. Shapes are
// [1, bars, steps, pitches, tracks]; what is above 0 is a note.
import {element} from "../dom.js";

export const media = "application/x-npy", suffix = ".mid";
const COLOURS = ["#1f77b4", "#d95f02", "#2a9d5c", "#c0392b", "#7b5ea7", "#8c6d31"];  // as the server draws
const USUAL = {lowest: 36, beat: 4, tempo: 100, tracks: []}, DRUMS = "drums";
const TICKS = 480;  // a beat's, of a MIDI file

export const words = ({shape}) => `pieces of ${shape[1] ?? "any number of"} bars for ${shape[4]} tracks`;

export const made = (values, shape) => ({values, size: shape.slice(1)});

// What an .npy file of float32 holds.
export async function read(blob) {
  const bytes = await blob.arrayBuffer(), length = new DataView(bytes).getUint16(8, true);
  const text = new TextDecoder("latin1").decode(new Uint8Array(bytes, 10, length));
  const size = text.match(/'shape': \(([^)]*)\)/)[1].split(",").filter(part => part.trim()).map(Number);
  return {values: new Float32Array(bytes.slice(10 + length)), size};
}

// [{track, pitch, start, end}] of all notes, in steps from the beginning.
export function notesOf({values, size: [bars, steps, pitches, tracks]}) {
  const found = [], there = (t, pitch, track) => t < bars * steps && values[(t * pitches + pitch) * tracks + track] > 0;
  for (let track = 0; track < tracks; track++) for (let pitch = 0; pitch < pitches; pitch++) for (let t = 0; t < bars * steps; t++) {
    if (!there(t, pitch, track)) continue;
    const start = t;
    while (there(t + 1, pitch, track)) t++;
    found.push({track, pitch, start, end: t + 1});
  }
  return found;
}

// A MIDI file: a track for each, drums on the tenth channel.
export function midi(notes, {lowest, beat, tempo, tracks}, count) {
  const big = (value, bytes) => Array.from({length: bytes}, (_, i) => value >> 8 * (bytes - 1 - i) & 255);
  const free = value => value < 128 ? [value] : [...free(value >> 7).map(byte => byte | 128), value & 127];  // variable length
  const chunk = (name, bytes) => [...[...name].map(letter => letter.charCodeAt(0)), ...big(bytes.length, 4), ...bytes];
  const end = [0, 255, 47, 0];
  const parts = [chunk("MTrk", [0, 255, 81, 3, ...big(Math.round(6e7 / tempo), 3), ...end])];
  for (let track = 0, channel = 0; track < count; track++) {
    const drums = tracks[track] === DRUMS, mine = drums ? 9 : channel;
    if (!drums) channel = (channel + 1) % 9;
    const events = notes.filter(note => note.track === track).flatMap(({pitch, start, end: last}) => [[start, 1, pitch], [last, 0, pitch]]);
    events.sort((one, other) => one[0] - other[0] || one[1] - other[1]);
    let time = 0;
    const bytes = events.flatMap(([step, on, pitch]) => {
      const ticks = Math.floor(TICKS * step / beat), wait = ticks - time;
      time = ticks;
      return [...free(wait), (on ? 144 : 128) | mine, Math.min(127, lowest + pitch), 80 * on];
    });
    parts.push(chunk("MTrk", [...bytes, ...end]));
  }
  return new Blob([new Uint8Array([...chunk("MThd", [...big(1, 2), ...big(parts.length, 2), ...big(TICKS, 2)]), ...parts.flat()])], {type: "audio/midi"});
}

export function view(field) {
  const more = {...USUAL, ...field}, frame = element(`<div class="sound">
    <canvas role="img" width="1" height="1"></canvas>
    <div class="row"><button type="button" class="play" disabled>Play</button></div>
  </div>`);
  const on = frame.querySelector("canvas"), button = frame.querySelector(".play");
  if (!document.getElementById("picture")) on.id = "picture";
  let piece = null, notes = [], context = null, began = 0;
  const seconds = step => step * 60 / more.tempo / more.beat, wide = 8, tall = 4;

  function draw(cursor = null) {
    const [bars, steps, pitches] = piece.size, pen = on.getContext("2d");
    on.width = wide * bars * steps;
    on.height = tall * pitches;
    pen.fillStyle = "#f5f5f5";
    pen.fillRect(0, 0, on.width, on.height);
    pen.fillStyle = "#c8c8c8";
    for (let bar = 0; bar < bars; bar++) pen.fillRect(wide * bar * steps, 0, 1, on.height);
    for (const {track, pitch, start, end} of notes) {
      pen.fillStyle = COLOURS[track % COLOURS.length];
      pen.fillRect(wide * start, on.height - tall * (pitch + 1), wide * (end - start) - 1, tall);
    }
    pen.fillStyle = "#000";
    if (cursor !== null) pen.fillRect(wide * cursor, 0, 2, on.height);
  }

  function stop() {
    context?.close();
    context = null;
    button.textContent = "Play";
    if (piece) draw();
  }

  function follow() {
    if (!context) return;
    const step = (context.currentTime - began) / seconds(1);
    if (step > piece.size[0] * piece.size[1] || !on.isConnected) return stop();
    draw(Math.max(0, step));
    requestAnimationFrame(follow);
  }

  function play() {
    context = new AudioContext();
    began = context.currentTime + 0.1;
    const noise = context.createBuffer(1, context.sampleRate / 5, context.sampleRate);
    noise.getChannelData(0).forEach((_, i, values) => values[i] = 2 * Math.random() - 1);
    for (const {track, pitch, start, end} of notes) {
      const drum = more.tracks[track] === DRUMS, from = began + seconds(start), to = drum ? from + 0.15 : began + seconds(end) + 0.05;
      const source = drum ? new AudioBufferSourceNode(context, {buffer: noise})
        : new OscillatorNode(context, {type: "triangle", frequency: 440 * 2 ** ((more.lowest + pitch - 69) / 12)});
      const loud = new GainNode(context, {gain: 0});
      loud.gain.setValueAtTime(0.12, from);
      loud.gain.exponentialRampToValueAtTime(0.001, to);
      source.connect(loud).connect(context.destination);
      source.start(from);
      source.stop(to);
    }
    button.textContent = "Stop";
    follow();
  }

  button.onclick = () => context ? stop() : play();
  return {
    element: frame,
    saves: "MIDI",
    show(found) {
      stop();
      piece = found;
      notes = notesOf(found);
      button.disabled = false;
      draw();
    },
    save: async () => ({blob: midi(notes, more, piece.size[3]), suffix}),
  };
}
