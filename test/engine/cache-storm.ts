// A process that puts, finds and evicts in a hurry: two of them share one cache in artifact-store.test.ts.
import { ids, model, openStore, put } from './artifact-fixture.ts';

const [directory = '', owner = ''] = process.argv.slice(2);
const store = await openStore(directory, { limitBytes: 20_000, owner });
let found = 0;
for (let round = 0; round < 60; round += 1) {
  const seed = 1 + (round % 7);
  await put(store, ids(20 + round, seed), 'session');
  const best = await store.shelf.bestBase(model, ids(200, seed));
  if (best !== undefined && (await store.shelf.verify(best.artifact))) found += 1;
  await store.sweep();
  if (round % 5 === 4) await store.evictSession('session');
}
console.log(`found ${found}`);
