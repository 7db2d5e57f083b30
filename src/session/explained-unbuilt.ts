// `ctx explain` of what no rule builds: files computed at each look, history, and what was written by hand.
import type { OrderLog } from '../journal/index.ts';
import type { Revision } from './types.ts';

/** Undefined for a file that a rule builds, and for names that a session does not have. */
export function explainedUnbuilt(name: string, log: OrderLog, revision: Revision): Record<string, unknown> | undefined {
  const messages = { name: 'messages.jsonl', version: `${revision.messagesBytes} bytes` };
  const events = { name: 'events.jsonl', version: `${revision.eventsBytes} bytes` };
  switch (name) {
    case 'latest.md':
      return { file: name, why: ['the newest text of the assistant, looked up at each read; nothing is built'], inputs: [messages] };
    case 'updated_at':
      return {
        file: name,
        why: ['the time of the newest commit to either journal, known at each read; nothing is built'],
        inputs: [messages, events],
      };
    case 'messages.jsonl':
    case 'events.jsonl':
      return {
        file: name,
        why: ['history: it was appended, and is derived from nothing'],
        inputs: [name === events.name ? events : messages],
      };
    case 'kv/manifest.json':
      return { file: `context/${name}`, why: ['says what the engine has compiled of prompt.json; ctx inspect explains it field by field'] };
  }
  const inputs = log.inputsAsOf();
  // Control files of the session itself stand beside context/.
  for (const path of [`context/${name}`, name]) {
    const digest = inputs.get(path);
    if (digest !== undefined) return { file: path, why: ['written, not derived: the order log recorded this version of it'], digest };
  }
  return undefined;
}
