// What an .npy file holds: {values: Float32Array or Uint8Array of C order, shape}.
export async function npy(blob) {
  const bytes = await blob.arrayBuffer(), head = new DataView(bytes);
  const start = head.getUint8(6) === 1 ? 10 : 12, length = start === 10 ? head.getUint16(8, true) : head.getUint32(8, true);
  const text = new TextDecoder("latin1").decode(new Uint8Array(bytes, start, length));
  const shape = text.match(/'shape': \(([^)]*)\)/)[1].split(",").filter(size => size.trim()).map(Number);
  const type = text.match(/'descr': '([^']*)'/)[1], Values = {"<f4": Float32Array, "|u1": Uint8Array}[type];
  if (!Values || /'fortran_order': True/.test(text)) throw new Error(`Numbers of type ${type} are not shown: export again.`);
  return {values: new Values(bytes.slice(start + length)), shape};
}
