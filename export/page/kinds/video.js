// Clips: a player on a canvas, with a slider over the frames; saved as GIF.
import {canvas, element, limited, show} from "../dom.js";
import {gif} from "../gif.js";
import {npy} from "../npy.js";
import {made as pictured} from "./image.js";

export const media = "application/x-npy", suffix = ".gif", numbers = true;  // tiles come as numbers, too: a frame of each is drawn
const RATE = 10;  // frames a second, as kgan.kinds.video has it

export const words = ({shape: [, length, ...sizes]}) => `clips of ${length ?? "any number of"} frames of `
  + sizes.map(size => size ?? "any").join(" × ");

// A list of canvases, one a frame, of values of the shape [1, frames, height, width, channels].
export function made(values, [, length, height, width, channels]) {
  const size = height * width * channels;
  return Array.from({length}, (_, i) => pictured(values.subarray(i * size, (i + 1) * size), [1, height, width, channels]));
}

export async function read(blob) {
  const {values, shape} = await npy(blob);
  return made(values, [1, ...shape]);
}

// What stands for a clip among others: the frame in its middle.
export const drawn = frames => frames[frames.length >> 1];

export function view() {
  const frame = element(`<div class="clip">
    <canvas id="picture" role="img" width="1" height="1"></canvas>
    <div class="slider">
      <label for="frame-number">Frame</label>
      <input id="frame-number" type="range" min="1" step="1" value="1"><span class="value" aria-hidden="true"></span>
      <button id="run" type="button" aria-pressed="false">Play</button>
    </div>
  </div>`);
  const on = frame.querySelector("canvas"), slider = frame.querySelector("#frame-number"), play = frame.querySelector("#run");
  let frames = [], timer = null, running = !matchMedia("(prefers-reduced-motion: reduce)").matches;

  function draw() {
    if (!frames.length) return;
    const at = limited(Number(slider.value), 1, frames.length);
    show(on, frames[at - 1]);
    slider.nextElementSibling.textContent = `${at}/${frames.length}`;
    slider.setAttribute("aria-valuetext", `${at} of ${frames.length}`);
  }

  function next() {
    if (!frame.isConnected) return stop();
    slider.value = Number(slider.value) % frames.length + 1;
    draw();
  }

  function stop() {
    clearInterval(timer);
    timer = null;
  }

  function run(wanted) {
    running = wanted;
    stop();
    if (running && frames.length > 1) timer = setInterval(next, 1000 / RATE);
    play.setAttribute("aria-pressed", running);
    play.textContent = running ? "Pause" : "Play";
  }

  play.onclick = () => run(!running);
  slider.oninput = () => {
    run(false);
    draw();
  };
  return {
    element: frame,
    saves: "GIF",
    scales: true,
    show(found) {
      frames = found;
      slider.max = frames.length;
      draw();
      run(running);
    },
    // `scale`: each pixel becomes scale × scale of them
    async save(scale = 1) {
      const pictures = frames.map(one => {
        const large = canvas(scale * one.width, scale * one.height), pen = large.getContext("2d");
        pen.imageSmoothingEnabled = false;
        pen.drawImage(one, 0, 0, large.width, large.height);
        return pen.getImageData(0, 0, large.width, large.height);
      });
      return {blob: gif(pictures, 100 / RATE), suffix: scale === 1 ? suffix : `-${scale}x${suffix}`};
    },
  };
}
