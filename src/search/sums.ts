// What notices that bytes of the index are not those that were written (IDX-5).

/** The code of the error that tells of a damaged segment: it is to be dropped and built again. */
export const DAMAGED = 'search.damaged';

/** A sum that notices changed bytes and changed places. */
export function sumOf(bytes: Buffer, from: number, end: number): number {
  let a = 1;
  let b = end - from;
  for (let i = from; i < end; i += 1) {
    a = (a + (bytes[i] as number)) | 0;
    b = (b + a) | 0;
  }
  return (b ^ (a << 16)) >>> 0;
}
