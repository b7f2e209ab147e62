// Animated GIFs (GIF89a), that run for ever. Grey pictures keep each level; of colours there are 6 × 7 × 6 in all.

// Blob of frames, each ImageData of one size, shown for `delay` hundredths of a second.
export function gif(frames, delay) {
  const {width, height} = frames[0], grey = frames.every(({data}) => {
    for (let i = 0; i < data.length; i += 4) if (data[i] !== data[i + 1] || data[i] !== data[i + 2]) return false;
    return true;
  });
  const index = grey ? red => red : (red, green, blue) => 42 * level(red, 6) + 6 * level(green, 7) + level(blue, 6);
  const palette = new Uint8Array(768);
  for (let i = 0; i < 256; i++) {
    const colour = grey ? [i, i, i] : [i / 42 | 0, (i / 6 | 0) % 7, i % 6].map((at, k) => Math.round(255 * at / [5, 6, 5][k]));
    palette.set(i < 252 || grey ? colour : [0, 0, 0], 3 * i);
  }
  const short = value => [value & 255, value >> 8], text = letters => [...letters].map(letter => letter.charCodeAt(0));
  const parts = [Uint8Array.from([...text("GIF89a"), ...short(width), ...short(height), 0xf7, 0, 0]), palette,
                 Uint8Array.from([0x21, 0xff, 11, ...text("NETSCAPE2.0"), 3, 1, 0, 0, 0])];
  for (const {data} of frames) {
    const pixels = new Uint8Array(width * height);
    for (let i = 0; i < pixels.length; i++) pixels[i] = index(data[4 * i], data[4 * i + 1], data[4 * i + 2]);
    parts.push(Uint8Array.from([0x21, 0xf9, 4, 0, ...short(delay), 0, 0, 0x2c, 0, 0, 0, 0, ...short(width), ...short(height), 0, 8]),
               blocks(packed(pixels)), Uint8Array.of(0));
  }
  return new Blob([...parts, Uint8Array.of(0x3b)], {type: "image/gif"});
}

const level = (value, count) => Math.round(value * (count - 1) / 255);

// Bytes by LZW, from codes of 9 bits on: 256 starts anew, 257 ends.
function packed(pixels) {
  const out = [];
  let held = 0, bits = 0, size = 9, next = 258, known = new Map();
  const write = code => {
    held |= code << bits;
    for (bits += size; bits >= 8; bits -= 8, held >>>= 8) out.push(held & 255);
  };
  write(256);
  let prefix = pixels[0];
  for (let i = 1; i < pixels.length; i++) {
    const key = prefix << 8 | pixels[i], found = known.get(key);
    if (found !== undefined) {
      prefix = found;
      continue;
    }
    write(prefix);
    prefix = pixels[i];
    if (next === 4096) {
      write(256);
      [size, next, known] = [9, 258, new Map()];
      continue;
    }
    if (next === 1 << size) size++;
    known.set(key, next++);
  }
  write(prefix);
  if (next === 1 << size && size < 12) size++;  // whoever reads has one more by now
  write(257);
  if (bits) out.push(held & 255);
  return Uint8Array.from(out);
}

// In pieces of at most 255 bytes, each behind its length.
function blocks(bytes) {
  const found = new Uint8Array(bytes.length + Math.ceil(bytes.length / 255));
  for (let from = 0, to = 0; from < bytes.length; from += 255) {
    const piece = bytes.subarray(from, from + 255);
    found[to] = piece.length;
    found.set(piece, to + 1);
    to += piece.length + 1;
  }
  return found;
}
