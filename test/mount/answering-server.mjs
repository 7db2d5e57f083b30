// The smallest FUSE server that makes a mount answer: INIT, GETATTR and STATFS of an empty root directory.
// Its connection is fd 3. `hang` as argument: it answers INIT, then takes requests, says so and never answers them.
import { readSync, writeSync } from 'node:fs';

const hang = process.argv[2] === 'hang';
const request = Buffer.alloc(1 << 18);
const S_IFDIR_0755 = 0o40755;

function reply(unique, error, body) {
  const out = Buffer.alloc(16 + body.length);
  out.writeUInt32LE(out.length, 0);
  out.writeInt32LE(error, 4);
  out.writeBigUInt64LE(unique, 8);
  body.copy(out, 16);
  writeSync(3, out);
}

for (;;) {
  try {
    readSync(3, request);
  } catch (error) {
    if (error.code === 'ENODEV') process.exit(0);
    if (error.code === 'EINTR' || error.code === 'ENOENT' || error.code === 'EAGAIN') continue;
    throw error;
  }
  const opcode = request.readUInt32LE(4);
  const unique = request.readBigUInt64LE(8);
  if (opcode === 26) {
    const init = Buffer.alloc(64);
    init.writeUInt32LE(7, 0);
    init.writeUInt32LE(31, 4);
    init.writeUInt32LE(1 << 17, 8);
    init.writeUInt32LE(1 << 17, 20);
    reply(unique, 0, init);
    process.stdout.write('ready\n');
  } else if (hang) {
    process.stdout.write('taken\n');
  } else if (opcode === 3) {
    const attr = Buffer.alloc(104);
    attr.writeBigUInt64LE(1n, 16);
    attr.writeUInt32LE(S_IFDIR_0755, 16 + 60);
    attr.writeUInt32LE(2, 16 + 64);
    reply(unique, 0, attr);
  } else if (opcode === 17) {
    reply(unique, 0, Buffer.alloc(80));
  } else if (opcode !== 2 && opcode !== 36 && opcode !== 42) {
    reply(unique, -38, Buffer.alloc(0));
  }
}
