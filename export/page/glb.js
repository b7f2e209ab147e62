// A solid of voxels as a binary glTF 2.0 file, as kgan.kinds.voxels writes it: the sides that can be seen, y up, one metre.

// Blob of what lies above a threshold; sample: {values, size: [x, y, z]}, colour: [red, green, blue] of 255.
export function glb({values, size}, threshold, colour) {
  const [depth, height, width] = size, corners = [], normals = [], longest = Math.max(...size);
  const there = ([x, y, z]) => x >= 0 && y >= 0 && z >= 0 && x < depth && y < height && z < width
    && values[(x * height + y) * width + z] > threshold;
  for (let x = 0; x < depth; x++) for (let y = 0; y < height; y++) for (let z = 0; z < width; z++) {
    if (!there([x, y, z])) continue;
    for (let axis = 0; axis < 3; axis++) for (const way of [-1, 1]) {
      const unit = k => [0, 1, 2].map(other => Number(other === k));
      const normal = unit(axis).map(value => way * value), next = [x, y, z].map((value, k) => value + normal[k]);
      if (there(next)) continue;
      const across = unit((axis + 1) % 3), along = unit((axis + 2) % 3), base = unit(axis).map(value => value * (way > 0));
      const square = [[0, 0], [1, 0], [1, 1], [0, 1]];
      if (way < 0) square.reverse();  // anticlockwise, seen from outside
      for (const [u, v] of square) {
        const place = [x, y, z].map((value, k) => value + base[k] + u * across[k] + v * along[k]);
        corners.push(place[0], place[2], -place[1]);
        normals.push(normal[0], normal[2], -normal[1]);
      }
    }
  }
  const sides = corners.length / 12, indices = new Uint32Array(6 * sides);
  for (let i = 0; i < sides; i++) indices.set([0, 1, 2, 0, 2, 3].map(corner => 4 * i + corner), 6 * i);
  if (!sides) return file({asset: {version: "2.0"}, scene: 0, scenes: [{name: "empty"}]}, []);  // no list in it may be empty
  return file(about(corners, sides, colour, longest), [new Float32Array(corners), new Float32Array(normals), indices]);
}

function about(corners, sides, colour, longest) {
  const ends = pick => [0, 1, 2].map(k => corners.filter((_, i) => i % 3 === k).reduce((a, b) => pick(a, b)));
  const lengths = [48 * sides, 48 * sides, 24 * sides];
  return {
    asset: {version: "2.0", generator: "kgan"}, scene: 0, scenes: [{nodes: [0]}],
    nodes: [{mesh: 0, scale: Array(3).fill(1 / longest), translation: [-0.5, 0, 0.5]}],
    meshes: [{primitives: [{attributes: {POSITION: 0, NORMAL: 1}, indices: 2, material: 0}]}],
    materials: [{pbrMetallicRoughness: {
      baseColorFactor: [...colour.map(level => (level / 255) ** 2.2), 1], metallicFactor: 0, roughnessFactor: 0.9}}],
    buffers: [{byteLength: lengths.reduce((a, b) => a + b)}],
    bufferViews: lengths.map((byteLength, i) => (
      {buffer: 0, byteOffset: i * lengths[0], byteLength, target: i < 2 ? 34962 : 34963})),
    accessors: [
      {bufferView: 0, componentType: 5126, count: 4 * sides, type: "VEC3", min: ends(Math.min), max: ends(Math.max)},
      {bufferView: 1, componentType: 5126, count: 4 * sides, type: "VEC3"},
      {bufferView: 2, componentType: 5125, count: 6 * sides, type: "SCALAR"}],
  };
}

// glTF 2.0, section 4: a header and chunks, each a multiple of four bytes long.
function file(json, arrays) {
  let text = new TextEncoder().encode(JSON.stringify(json));
  text = new Uint8Array([...text, ...Array(-text.length & 3).fill(32)]);
  const size = arrays.reduce((sum, {byteLength}) => sum + byteLength, 0);
  const chunk = (length, name) => new Uint32Array([length, name]);
  const parts = [chunk(text.length, 0x4e4f534a), text, ...arrays.length ? [chunk(size, 0x004e4942), ...arrays] : []];
  const total = 12 + parts.reduce((sum, {byteLength}) => sum + byteLength, 0);
  return new Blob([new Uint32Array([0x46546c67, 2, total]), ...parts], {type: "model/gltf-binary"});
}
