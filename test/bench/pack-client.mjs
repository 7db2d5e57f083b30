// A client of the mount in a process of its own: node pack-client.mjs VERB …
//   append SESSION LINES_FILE PERSON_MS   appends each line, then reads pack.json; prints [{role, ms, waited, epoch}] as JSON.
//                                Every other line of a person's comes so long after the answer before it: nobody types faster.
//   read FILE                    reads a file whole, again while it is being built; prints {ms, bytes}
//   stat FILES_JSON SECONDS      stats the files in turn until killed or the time is over; prints percentiles in ms
import fs from 'node:fs';

const [verb, target, other, personMs] = process.argv.slice(2);

const buffer = Buffer.allocUnsafe(4 << 20);

function readWhole(path) {
  const fd = fs.openSync(path, 'r');
  let bytes = 0;
  for (let count; (count = fs.readSync(fd, buffer, bytes, 1 << 20, null)) > 0;) bytes = Math.min(bytes + count, 3 << 20);
  fs.closeSync(fd);
  return bytes;
}

function epochOf(bytes) {
  return JSON.stringify(JSON.parse(buffer.toString('utf8', 0, bytes)).epoch);
}

if (verb === 'append') {
  const lines = fs.readFileSync(other, 'utf8').split('\n').filter(Boolean);
  const journal = fs.openSync(`${target}/messages.jsonl`, fs.constants.O_WRONLY | fs.constants.O_APPEND);
  let before = epochOf(readWhole(`${target}/context/pack.json`));
  let persons = 0;
  const samples = [];
  for (const line of lines) {
    const { role } = JSON.parse(line);
    const waited = role === 'user' && persons++ % 2 === 0;
    if (waited) await new Promise((resolve) => setTimeout(resolve, Number(personMs)));
    fs.writeSync(journal, `${line}\n`);
    const started = performance.now();
    const bytes = readWhole(`${target}/context/pack.json`);
    const ms = performance.now() - started;
    const epoch = epochOf(bytes);
    samples.push({ role, ms, waited, epoch: epoch !== before });
    before = epoch;
  }
  process.stdout.write(JSON.stringify(samples));
} else if (verb === 'read') {
  const started = performance.now();
  for (;;) {
    try {
      const bytes = readWhole(target);
      process.stdout.write(JSON.stringify({ ms: performance.now() - started, bytes }));
      break;
    } catch (error) {
      if (error.code !== 'ETIMEDOUT') throw error;
    }
  }
} else if (verb === 'stat') {
  const files = JSON.parse(target);
  const samples = [];
  const end = performance.now() + Number(other) * 1000;
  let stop = false;
  process.on('SIGTERM', () => (stop = true));
  while (!stop && performance.now() < end) {
    for (const file of files) {
      const started = performance.now();
      fs.statSync(file);
      samples.push(performance.now() - started);
    }
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
  samples.sort((a, b) => a - b);
  const at = (share) => samples[Math.min(samples.length - 1, Math.floor(samples.length * share))];
  process.stdout.write(JSON.stringify({ n: samples.length, p50: at(0.5), p99: at(0.99), max: at(1) }));
}
