// node kv-client.mjs FILES_JSON JOURNAL SECONDS: stats the files in turn and appends a line to the journal (open, write, close)
// every 2 ms; prints percentiles in ms of both.
import fs from 'node:fs';

const [files, journal, seconds] = process.argv.slice(2);
const samples = { stat: [], append: [] };
const end = performance.now() + Number(seconds) * 1000;
const timed = (list, work) => {
  const started = performance.now();
  work();
  list.push(performance.now() - started);
};
for (let n = 0; performance.now() < end; n += 1) {
  for (const file of JSON.parse(files)) timed(samples.stat, () => fs.statSync(file));
  timed(samples.append, () => fs.appendFileSync(journal, `{"role":"user","content":"line ${n}"}\n`));
  await new Promise((resolve) => setTimeout(resolve, 2));
}
const summary = (list) => {
  const sorted = list.sort((a, b) => a - b);
  const at = (share) => Math.round(sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] * 1000) / 1000;
  return { n: sorted.length, p50: at(0.5), p99: at(0.99), max: at(1) };
};
process.stdout.write(JSON.stringify({ stat: summary(samples.stat), append: summary(samples.append) }));
