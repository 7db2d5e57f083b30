// A client of the mount in a process of its own: node pack-client.mjs VERB …
//   append SESSION LINES_FILE    appends each line, then reads pack.json; prints [{role, ms}] as JSON
//   read FILE                    reads a file whole, again while it is being built; prints {ms, bytes}
//   stat FILES_JSON SECONDS      stats the files in turn until killed or the time is over; prints percentiles in ms
import fs from 'node:fs';

const [verb, target, other] = process.argv.slice(2);

function readWhole(path) {
  const fd = fs.openSync(path, 'r');
  const buffer = Buffer.allocUnsafe(1 << 20);
  let bytes = 0;
  for (let count; (count = fs.readSync(fd, buffer, 0, buffer.length, null)) > 0;) bytes += count;
  fs.closeSync(fd);
  return bytes;
}

if (verb === 'append') {
  const lines = fs.readFileSync(other, 'utf8').split('\n').filter(Boolean);
  const journal = fs.openSync(`${target}/messages.jsonl`, fs.constants.O_WRONLY | fs.constants.O_APPEND);
  readWhole(`${target}/context/pack.json`);
  const samples = lines.map((line) => {
    fs.writeSync(journal, `${line}\n`);
    const started = performance.now();
    readWhole(`${target}/context/pack.json`);
    return { role: JSON.parse(line).role, ms: performance.now() - started };
  });
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
