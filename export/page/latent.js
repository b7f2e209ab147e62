// The space of noise, as kgan.kinds.noise has it, where the generator runs in the browser.

// Float32Array of D numbers; noise: {kind, dim}, known: directions [K][D].
export function noise({seed, to = null, at = 0, directions = [], truncation = null}, {kind, dim}, known) {
  const start = latent(seed, kind, dim), between = kind === "normal" ? slerp : lerp;
  const found = to === null ? start : between(start, latent(to, kind, dim), at);
  directions.forEach((offset, k) => known[k].forEach((value, i) => { found[i] += offset * value; }));
  // the generator knows nothing outside the cube
  if (kind !== "normal") return found.map(value => Math.min(1, Math.max(-1, value)));
  return truncation === null ? found : found.map(value => truncated(value, truncation));
}

// kgan.kinds.noise.truncate: the place of z in the normal distribution that is cut at ± bound, |z'| = -Φ⁻¹(T + Φ(-|z|) (1 - 2T)).
function truncated(z, bound) {
  const least = normal(-bound), wanted = least + normal(-Math.abs(z)) * (1 - 2 * least);
  let x = 0;
  // Newton's method: Φ(-x) is convex where x > 0, so that it comes from below and cannot go too far
  for (let i = 0, step = 1; i < 50 && step > 1e-9; i++) {
    step = (normal(-x) - wanted) * Math.sqrt(2 * Math.PI) * Math.exp(x * x / 2);
    x += step;
  }
  return Math.sign(z) * Math.min(x, bound);
}

// Φ, by the series of Marsaglia 2004, "Evaluating the Normal Distribution": to 1e-15.
function normal(x) {
  if (Math.abs(x) > 8) return x < 0 ? 0 : 1;
  let sum = x, term = x, before = 0;
  for (let i = 3; sum !== before; i += 2) {
    before = sum;
    term *= x * x / i;
    sum += term;
  }
  return 0.5 + sum * Math.exp(-x * x / 2) / Math.sqrt(2 * Math.PI);
}

// The noise of a seed. Not that which kgan or the server draws: theirs is TensorFlow's generator.
export function latent(seed, kind, dim) {
  const found = new Float32Array(dim);
  for (let i = 0; i < found.length; i++) {
    const u = uniform(seed, 2 * i), v = uniform(seed, 2 * i + 1);
    // Box-Muller
    found[i] = kind === "normal" ? Math.sqrt(-2 * Math.log(u)) * Math.cos(2 * Math.PI * v) : 2 * u - 1;
  }
  return found;
}

// In (0, 1): SplitMix (Steele et al. 2014), from a place that the seed chooses.
function uniform(seed, i) {
  return (mix(mix(seed + 1) + Math.imul(i, 0x9e3779b9)) + 0.5) / 2 ** 32;
}

// The last step of MurmurHash3, which makes of neighbouring numbers distant ones.
function mix(x) {
  x = Math.imul(x ^ x >>> 16, 0x85ebca6b);
  x = Math.imul(x ^ x >>> 13, 0xc2b2ae35);
  return (x ^ x >>> 16) >>> 0;
}

function lerp(a, b, t) {
  return a.map((value, i) => value + t * (b[i] - value));
}

// kgan.kinds.noise.slerp: along the great circle, straight where there is no one circle
function slerp(a, b, t) {
  const m = Math.hypot(...a), n = Math.hypot(...b);
  const [apart, along] = [-1, 1].map(sign => Math.hypot(...a.map((value, i) => value / m + sign * b[i] / n)));
  const angle = 2 * Math.atan2(apart, along), sine = Math.sin(angle);
  if (!(sine > 1e-6)) return lerp(a, b, t);
  return a.map((value, i) => (Math.sin((1 - t) * angle) * value + Math.sin(t * angle) * b[i]) / sine);
}
