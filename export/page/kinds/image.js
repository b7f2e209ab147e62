// Images: one is dropped, picked, pasted, taken or drawn; what comes of it lies over it, with a slider between the two.
import {canvas, element, latest, show} from "../dom.js";
import {board} from "../draw.js";

export const flat = true, media = "image/png", suffix = ".png";
// What is drawn or filmed is encoded when it is sent, which without a server it never is.
export const part = async ({blob, picture, name}) => [blob ?? await encoded(picture, "image/png"), name];

const SENT = ["image/png", "image/jpeg", "image/gif", "image/bmp", "image/webp"];  // files that a server reads as they are
const ROOM = 4096;  // bytes of a form around a file
const SIDE = 256;  // of a drawing, where nobody knows in which size the generator was trained
const CONTROL = `
  <section class="image">
    <h2></h2>
    <div class="drop">
      <p>Drop an image <span class="where">anywhere on this page</span>, paste it, or</p>
      <div class="row">
        <button type="button" class="pick">Choose a file</button>
        <button type="button" class="open" hidden>Use the camera</button>
        <button type="button" class="paste" hidden>Paste</button>
        <button type="button" class="draw" aria-expanded="false">Draw</button>
      </div>
      <input type="file" accept="image/*" tabindex="-1" aria-hidden="true" hidden>
      <div class="camera" hidden>
        <video autoplay muted playsinline></video>
        <div class="row">
          <button type="button" class="take">Take the picture</button>
          <button type="button" class="live" aria-pressed="false">Live</button>
          <button type="button" class="close">Close the camera</button>
        </div>
      </div>
    </div>
    <p class="note quiet" hidden></p>
    <p class="problem" hidden></p>
  </section>`;

const size = ({shape}) => shape.slice(1, 3);
const words_of = ([height, width]) => `${width} × ${height}`;

export const source = () => "an image";

export function words(field) {
  const sizes = field.shape.slice(1);
  return sizes.includes(null) ? "images of any size" : `images of ${sizes.join(" × ")}`;
}

// === The input ===

export function control(field, page) {
  const section = element(CONTROL), $ = selector => section.querySelector(selector);
  const note = $(".note"), problem = $(".problem"), file = $("input"), video = $("video");
  const alone = page.inputs.filter(({kind}) => kind === field.kind).length === 1, title = alone ? "Your image" : field.name;
  const media = navigator.mediaDevices;
  let given = null, stream = null, live = null;  // the camera's, and while frame after frame of it is used something
  $("h2").textContent = title;
  if (!alone) {
    $(".where").textContent = "here";
    section.querySelectorAll("button").forEach(button => button.setAttribute("aria-label", `${button.textContent}: ${field.name}`));
  }
  Object.assign(note, {id: `note-${field.name}`});
  Object.assign(problem, {id: `problem-${field.name}`});
  section.setAttribute("aria-label", title);
  $(".pick").setAttribute("aria-describedby", `${note.id} ${problem.id}`);
  $(".paste").hidden = !navigator.clipboard?.read;
  media?.enumerateDevices?.().then(found => {
    $(".open").hidden = !media.getUserMedia || !found.some(({kind}) => kind === "videoinput");
  });

  function complain(text) {
    watch(false);
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
    if (!drawn.element.hidden) drawn.start(given.picture);
    else use();
  }

  function use() {
    note.textContent = given.note;
    note.hidden = false;
    page.changed();
  }

  // What stands on the board, as often as it changes and the generator is ready for more.
  const follow = latest(async () => {
    const picture = canvas(drawn.canvas.width, drawn.canvas.height);
    picture.getContext("2d").drawImage(drawn.canvas, 0, 0);
    given = {name: "drawing.png", picture,
             note: `A drawing of ${words_of([picture.height, picture.width])} pixels.`};
    problem.hidden = true;
    use();
  });
  const drawn = board(field, title, follow);

  // [height, width] of what is drawn or filmed: as in training, where any will do.
  function usual() {
    const most = Math.floor(Math.sqrt(page.info.limits?.max_pixels ?? Infinity)), trained = [...field.size ?? []];
    return size(field).map(side => side ?? trained.shift() ?? Math.min(SIDE, most));
  }

  function draw() {
    const open = drawn.element.hidden;
    drawn.element.hidden = !open;
    $(".draw").setAttribute("aria-expanded", open);
    if (!open) return;
    drawn.start(given?.picture, usual());
    drawn.canvas.focus();
  }

  // The first image among files or what is dropped or pasted; what there is else is named.
  function first(files) {
    const found = [...files], image = found.find(({type}) => type.startsWith("image/"));
    if (image) return take(image, image.name || "pasted.png");
    complain(found.length ? `${found[0].name} is no image: take a PNG, JPEG, GIF, BMP or WebP file.`
      : "There is no image in it: copy or drop an image itself, or its file.");
  }

  async function open() {
    problem.hidden = true;
    try {
      stream = await media.getUserMedia({video: {facingMode: {ideal: "environment"}}});
    } catch (error) {
      return complain(`The camera cannot be used (${error.message || error.name}): allow it for this page, or choose a file.`);
    }
    stream.getTracks().forEach(track => track.onended = close);  // it was unplugged, or is allowed no longer
    video.srcObject = stream;
    $(".camera").hidden = false;
    $(".take").focus();
  }

  function close() {
    watch(false);
    stream?.getTracks().forEach(track => track.stop());
    stream = video.srcObject = null;
    $(".camera").hidden = true;
    $(".open").focus();
  }

  // Frame after frame, each as soon as the one before has been drawn.
  async function watch(on) {
    const run = live = on ? {} : null, button = $(".live"), ended = () => live !== run || !section.isConnected;
    button.textContent = on ? "Stop" : "Live";
    button.setAttribute("aria-pressed", on);
    if (!alone) button.setAttribute("aria-label", `${button.textContent}: ${field.name}`);
    const begun = performance.now();
    for (let frames = 1; on && !ended(); frames++) {
      if (video.videoWidth) {
        const {picture} = fitted(video, [video.videoHeight, video.videoWidth], field, usual());
        given = {name: "camera.png", picture, note: ""};
        problem.hidden = true;
        await page.draw();
        note.textContent = `${(1000 * frames / (performance.now() - begun)).toFixed(frames < 20 ? 0 : 1)} frames a second, of `
          + `${words_of([picture.height, picture.width])} pixels.`;
        note.hidden = false;
      }
      await new Promise(requestAnimationFrame);
    }
  }

  function still() {
    if (!video.videoWidth) return;
    const picture = canvas(video.videoWidth, video.videoHeight);
    picture.getContext("2d").drawImage(video, 0, 0);
    close();
    picture.toBlob(blob => take(blob, "camera.png"));
  }

  async function paste() {
    try {
      const items = await navigator.clipboard.read();
      const files = await Promise.all(items.flatMap(item => item.types.filter(type => type.startsWith("image/"))
        .map(type => item.getType(type))));
      first(files);
    } catch (error) {
      complain(`The browser does not let the page read what was copied (${error.message}): press Ctrl+V instead.`);
    }
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
      first(event.dataTransfer.files);
    },
    paste: event => {
      if (event.target.matches?.("input, textarea")) return;
      first(event.clipboardData.files);
    },
  };

  drawn.element.hidden = true;
  $(".drop").after(drawn.element);
  $(".draw").onclick = draw;
  $(".pick").onclick = () => file.click();
  file.onchange = () => {
    if (file.files.length) first(file.files);
    file.value = "";  // or the same file would not be taken again
  };
  $(".open").onclick = open;
  $(".close").onclick = close;
  $(".take").onclick = still;
  $(".live").onclick = () => watch(live === null);
  $(".paste").onclick = paste;
  return {
    elements: [section],
    ready: () => given !== null,
    mounted() {
      for (const [name, listener] of Object.entries(wide)) {
        addEventListener(name, function heard(event) {
          if (!section.isConnected) return removeEventListener(name, heard);
          if (alone || section.contains(event.target)) listener(event);
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

// {blob, name, picture, note}: a file as the generator takes it, and a canvas of the same.
async function prepared(blob, name, field, limits) {
  let image;
  try {  // a copy: a file that changes after it was chosen could not be sent any more
    blob = new Blob([await blob.arrayBuffer()], {type: blob.type});
    image = await createImageBitmap(blob);
  } catch {
    throw new Error(`${name} cannot be read as an image: take a PNG, JPEG, GIF, BMP or WebP file.`);
  }
  const from = [image.height, image.width], [height, width] = size(field);
  const scale = Math.min(1, Math.sqrt((limits?.max_pixels ?? Infinity) / (image.width * image.height)));
  const to = [height ?? Math.floor(from[0] * scale), width ?? Math.floor(from[1] * scale)].map(side => Math.max(1, side));
  const {picture, cut} = fitted(image, from, field, to);
  const same = from[0] === to[0] && from[1] === to[1];
  const cropped = Math.abs(cut[0] - from[0]) >= 1 || Math.abs(cut[1] - from[1]) >= 1;
  const free = height === null || width === null, now = words_of(to);
  const note = `${name}, ${words_of(from)} pixels` + (same ? "." : free
    ? `, scaled to ${now}: no more than ${limits.max_pixels.toLocaleString("en")} are taken.`
    : `, ${cropped ? "its middle cut out and " : ""}scaled to ${now}, the only size that this generator takes.`);
  const most = (limits?.max_body ?? Infinity) - ROOM;
  let sent = blob;
  if (!same || !SENT.includes(blob.type) || blob.size > most) sent = await encoded(picture, "image/png");
  if (sent.size > most) sent = await encoded(picture, "image/jpeg");
  if (sent.size > most) {
    throw new Error(`${name} has ${sent.size} bytes even as a JPEG; at most ${most} can be sent: take a smaller one.`);
  }
  return {blob: sent, name, picture, note};
}

// {picture, cut}: a canvas of `to` pixels [height, width] with the middle of an image of `from` pixels, of which that is `cut`.
function fitted(image, from, field, to) {
  const picture = canvas(to[1], to[0]), pen = picture.getContext("2d", {willReadFrequently: true});
  pen.fillStyle = "#fff";  // as behind transparent pixels of what it was trained on
  pen.fillRect(0, 0, picture.width, picture.height);
  pen.imageSmoothingQuality = "high";
  pen.imageSmoothingEnabled = !field.labels;  // each pixel of a label map is one of its labels, and no mixture
  // the middle of it, in the shape that is wanted
  const factor = Math.max(to[0] / from[0], to[1] / from[1]), cut = [to[0] / factor, to[1] / factor];
  pen.drawImage(image, (from[1] - cut[1]) / 2, (from[0] - cut[0]) / 2, cut[1], cut[0], 0, 0, to[1], to[0]);
  return {picture, cut};
}

function encoded(picture, type) {
  return new Promise(done => picture.toBlob(done, type, 0.95));
}

// A tensor of it: Float32Array in [-1, 1], of the field's channels. Plain loops: the camera has this done many times a second.
export function values({picture}, {shape}) {
  const {data} = picture.getContext("2d").getImageData(0, 0, picture.width, picture.height), channels = shape[3];
  const found = new Float32Array(picture.width * picture.height * channels);
  if (channels < 3) {
    for (let i = 0; i < found.length / channels; i++) {
      const grey = Math.floor((19595 * data[4 * i] + 38470 * data[4 * i + 1] + 7471 * data[4 * i + 2] + 32768) / 65536);  // as Pillow's "L"
      found[i * channels] = grey / 127.5 - 1;
      if (channels === 2) found[2 * i + 1] = data[4 * i + 3] / 127.5 - 1;
    }
  } else {
    for (let i = 0, j = 0; i < data.length; i += 4) for (let k = 0; k < channels; k++) found[j++] = data[i + k] / 127.5 - 1;
  }
  return found;
}

// === The output ===

export const read = blob => createImageBitmap(blob, {colorSpaceConversion: "none", premultiplyAlpha: "none"});

// A canvas of a sample's values, shape [1, height, width, channels].
export function made(values, [, height, width, channels]) {
  const sheet = canvas(width, height), data = new ImageData(width, height), to = data.data;
  const grey = channels < 3, alpha = channels % 2 ? null : channels - 1;
  for (let i = 0, at = 0; i < to.length; i += 4, at += channels) {
    for (let k = 0; k < 3; k++) to[i + k] = (values[grey ? at : at + k] + 1) * 127.5;  // the array rounds and cuts
    to[i + 3] = alpha === null ? 255 : (values[at + alpha] + 1) * 127.5;
  }
  sheet.getContext("2d").putImageData(data, 0, 0);
  return sheet;
}

export function view(field, page) {
  const before = page.inputs?.find(({kind}) => kind === "image");
  return before ? compared(field, before, page) : picture(true);
}

// `scale`: each pixel becomes scale × scale of them.
function save(on) {
  return (scale = 1) => new Promise(done => {
    const large = scale === 1 ? on : canvas(scale * on.width, scale * on.height), pen = large.getContext("2d");
    if (scale > 1) {
      pen.imageSmoothingEnabled = false;
      pen.drawImage(on, 0, 0, large.width, large.height);
    }
    large.toBlob(blob => done({blob, suffix: scale === 1 ? suffix : `-${scale}x${suffix}`}));
  });
}

// `scales`: whether it is of pixels, which may be saved larger.
export function picture(scales = false) {
  const on = element('<canvas id="picture" role="img" width="1" height="1"></canvas>');
  return {element: on, saves: "PNG", scales, show: sample => show(on, sample), save: save(on)};
}

// The result over what it was made of, up to where the slider is.
function compared(field, before, page) {
  const frame = element(`<div class="compare empty">
    <p class="quiet">The result comes here, beside your image.</p>
    <canvas class="before" width="1" height="1" aria-hidden="true"></canvas>
    <canvas class="after" role="img" width="1" height="1"></canvas>
    <span class="line" aria-hidden="true"></span>
    <span class="tag left" aria-hidden="true">before</span><span class="tag right" aria-hidden="true">after</span>
    <input type="range" min="0" max="100" value="50" step="1" aria-label="How much of the image from before is shown">
  </div>`);
  const under = frame.querySelector(".before"), on = frame.querySelector(".after"), slider = frame.querySelector("input");
  if (!document.getElementById("picture")) on.id = "picture";
  slider.oninput = () => {
    frame.style.setProperty("--at", `${slider.value}%`);
    slider.setAttribute("aria-valuetext", `${slider.value} % before, ${100 - slider.value} % after`);
  };
  slider.oninput();
  return {
    element: frame,
    saves: "PNG",
    show(sample, place) {
      frame.classList.remove("empty");
      frame.style.setProperty("--ratio", sample.width / sample.height);
      show(under, place[before.name].picture);
      show(on, sample);
      on.setAttribute("aria-label", `${field.name} ${page.words(place)}`);
    },
    save: save(on),
  };
}
