// Sounds: one is picked, dropped or recorded; what is made of it is seen as a waveform and played. A sound is {values, rate}.
import {element} from "../dom.js";

export const media = "audio/wav", suffix = ".wav";
export const part = ({blob, name}) => [blob, name];

const USUAL = 16000;  // samples a second, where a field says none
const CONTROL = `
  <section class="sound">
    <h2></h2>
    <div class="drop">
      <p>Drop a sound anywhere on this page, or</p>
      <div class="row">
        <button type="button" class="pick">Choose a file</button>
        <button type="button" class="record" hidden>Record</button>
      </div>
      <input type="file" accept="audio/*" tabindex="-1" aria-hidden="true" hidden>
    </div>
    <audio controls hidden></audio>
    <p class="note quiet" hidden></p>
    <p class="problem" hidden></p>
  </section>`;

const seconds = count => `${count.toFixed(count < 10 ? 1 : 0)} s`;

export const source = () => "a sound";

export function words({shape, rate = USUAL}) {
  const length = shape[1] === null ? "of any length" : `of ${seconds(shape[1] / rate)}`;
  return `sounds ${length} at ${rate / 1000} kHz`;
}

// === The input ===

export function control(field, page) {
  const section = element(CONTROL), $ = selector => section.querySelector(selector), devices = navigator.mediaDevices;
  const note = $(".note"), problem = $(".problem"), file = $("input"), player = $("audio"), record = $(".record");
  let given = null, recorder = null;
  $("h2").textContent = "Your sound";
  section.setAttribute("aria-label", "Your sound");
  player.setAttribute("aria-label", "The sound that you gave");
  Object.assign(note, {id: `note-${field.name}`});
  Object.assign(problem, {id: `problem-${field.name}`});
  $(".pick").setAttribute("aria-describedby", `${note.id} ${problem.id}`);
  devices?.enumerateDevices?.().then(found => {
    record.hidden = !devices.getUserMedia || !window.MediaRecorder || !found.some(({kind}) => kind === "audioinput");
  });

  function complain(text) {
    problem.textContent = text;
    problem.hidden = false;
    page.say(text);
  }

  async function take(blob, name) {
    problem.hidden = true;
    try {
      given = await prepared(blob, name, field, page.info.limits);
    } catch (error) {
      return complain(error.message);
    }
    play(player, given.blob);
    note.textContent = given.note;
    note.hidden = false;
    page.changed();
  }

  // The first press begins, the second ends.
  async function toggle() {
    if (recorder) return recorder.stop();
    problem.hidden = true;
    let stream;
    try {
      stream = await devices.getUserMedia({audio: true});
    } catch (error) {
      return complain(`The microphone cannot be used (${error.message || error.name}): allow it for this page, or choose a file.`);
    }
    const parts = [];
    recorder = new MediaRecorder(stream);
    recorder.ondataavailable = ({data}) => parts.push(data);
    recorder.onstop = () => {
      stream.getTracks().forEach(track => track.stop());
      take(new Blob(parts, {type: recorder.mimeType}), "recording.wav");
      recorder = null;
      record.textContent = "Record";
      record.setAttribute("aria-pressed", false);
    };
    recorder.start();
    record.textContent = "Stop";
    record.setAttribute("aria-pressed", true);
    page.say("Recording …");
  }

  const over = on => section.classList.toggle("over", on);
  const wide = {
    dragover: event => {
      event.preventDefault();
      over(true);
    },
    dragleave: () => over(false),
    drop: event => {
      event.preventDefault();
      over(false);
      const [first] = event.dataTransfer.files;
      if (first) take(first, first.name);
    },
  };

  $(".pick").onclick = () => file.click();
  record.onclick = toggle;
  file.onchange = () => {
    if (file.files.length) take(file.files[0], file.files[0].name);
    file.value = "";  // or the same file would not be taken again
  };
  return {
    elements: [section],
    ready: () => given !== null,
    mounted() {
      for (const [name, listener] of Object.entries(wide)) {
        addEventListener(name, function heard(event) {
          if (!section.isConnected) return removeEventListener(name, heard);
          listener(event);
        });
      }
    },
    complain,
    add(found) {
      found[field.name] = given;
    },
    refresh() {
      problem.hidden = true;
    },
    words: place => [place[field.name] && `from ${place[field.name].name}`],
    file: place => place[field.name]?.name.replace(/\.\w+$/, "").replace(/[^\p{L}\p{N}_-]+/gu, "_"),
  };
}

// {blob, name, values, note}: a file as the generator takes it, one channel at the field's rate.
async function prepared(blob, name, {shape, rate = USUAL}, limits) {
  let buffer;
  try {  // which the browser resamples to the context's rate
    buffer = await new OfflineAudioContext(1, 1, rate).decodeAudioData(await blob.arrayBuffer());
  } catch {
    throw new Error(`${name} cannot be read as a sound: take a WAV, MP3, OGG or FLAC file.`);
  }
  const most = Math.min(shape[1] ?? Infinity, limits?.max_pixels ?? Infinity), channels = buffer.numberOfChannels;
  let values = new Float32Array(buffer.length);
  for (let c = 0; c < channels; c++) buffer.getChannelData(c).forEach((value, i) => values[i] += value / channels);
  if (!values.length) throw new Error(`${name} is empty.`);
  const long = values.length;
  if (long > most) values = values.slice(0, most);
  const cut = long > most ? `, of which the first ${seconds(most / rate)} are taken` : "";
  return {blob: wav({values, rate}), name, values, note: `${name}, ${seconds(long / rate)}${cut}.`};
}

// A tensor of it: of a field of a fixed length filled up with silence.
export function values({values: found}, {shape}) {
  const filled = new Float32Array(shape[1] ?? found.length);
  filled.set(found.subarray(0, filled.length));
  return filled;
}

// === Files ===

// A WAV file of 16 bits, one channel.
export function wav({values, rate}) {
  const head = new DataView(new ArrayBuffer(44)), size = 2 * values.length;
  const text = (at, letters) => [...letters].forEach((letter, i) => head.setUint8(at + i, letter.charCodeAt(0)));
  text(0, "RIFF");
  head.setUint32(4, 36 + size, true);
  text(8, "WAVEfmt ");
  head.setUint32(16, 16, true);
  head.setUint16(20, 1, true);
  head.setUint16(22, 1, true);
  head.setUint32(24, rate, true);
  head.setUint32(28, 2 * rate, true);
  head.setUint16(32, 2, true);
  head.setUint16(34, 16, true);
  text(36, "data");
  head.setUint32(40, size, true);
  const whole = Int16Array.from(values, value => Math.max(-32768, Math.min(32767, Math.round(value * 32768))));
  return new Blob([head, whole], {type: media});
}

// What the server's WAV files hold.
export async function read(blob) {
  const bytes = await blob.arrayBuffer(), head = new DataView(bytes);
  return {values: Float32Array.from(new Int16Array(bytes.slice(44)), value => value / 32768), rate: head.getUint32(24, true)};
}

export const made = values => ({values});

// === The output ===

function play(player, blob) {
  URL.revokeObjectURL(player.src);
  player.src = URL.createObjectURL(blob);
  player.hidden = false;
}

// The range of values that each column of pixels covers, as lines.
export function draw(on, values, colour) {
  const pen = on.getContext("2d"), middle = on.height / 2;
  pen.fillStyle = colour;
  for (let x = 0; x < on.width; x++) {
    let [low, high] = [Infinity, -Infinity];
    for (let i = Math.floor(x * values.length / on.width); i < Math.max((x + 1) * values.length / on.width, 1); i++) {
      [low, high] = [Math.min(low, values[i] ?? 0), Math.max(high, values[i] ?? 0)];
    }
    pen.fillRect(x, middle - high * middle, 1, Math.max(1, (high - low) * middle));
  }
}

export function view(field, page) {
  const before = page.inputs?.find(({kind}) => kind === "audio");
  const frame = element(`<div class="sound">
    <canvas role="img" width="960" height="240"></canvas>
    <audio controls hidden aria-label="The sound that was made"></audio>
  </div>`);
  const on = frame.querySelector("canvas"), player = frame.querySelector("audio");
  if (!document.getElementById("picture")) on.id = "picture";
  let sound = null;
  return {
    element: frame,
    saves: "WAV",
    show({values, rate = field.rate ?? USUAL}, place) {
      sound = {values, rate};
      on.width = on.width;  // empties it
      if (before) draw(on, place[before.name].values, "#d0d0d0");
      draw(on, values, "#1f77b4");
      play(player, wav(sound));
    },
    save: async () => ({blob: wav(sound), suffix}),
  };
}
