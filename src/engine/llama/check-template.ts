// A chat template is tried where its model is added: what fails on the smallest conversation would fail every compile.
import { openChatRenderer } from '../chat-prompt.ts';
import type { ModelFacts } from '../gguf.ts';
import { ENGINE_VERSION, installedEngine } from './native.ts';
import { boundedTemplates } from './template.ts';

const SAMPLE = { messages: [{ role: 'user', content: 'Hello' }], tools: [] };

/** Throws engine.template. Without a template, or without the engine that reads them, there is nothing to try yet. */
export async function checkTemplate(facts: ModelFacts, engineDirectory: string): Promise<void> {
  if (facts.chatTemplate === undefined || installedEngine(engineDirectory)?.version !== ENGINE_VERSION) return;
  const text = (id: number | undefined): string => (id === undefined ? '' : (facts.tokens[id] ?? ''));
  const specials = { bos: text(facts.bosToken), eos: text(facts.eosToken), all: [] };
  await openChatRenderer(facts.path, facts.chatTemplate, specials, boundedTemplates(engineDirectory)).render(SAMPLE, true);
}
