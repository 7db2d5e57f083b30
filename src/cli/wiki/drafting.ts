// WIK-62: a model drafts page changes about filed material, in pieces that fit into its context; what it says is checked, and waits
// for review like any proposal.
import { CtxError } from '../../abi/errors.ts';
import { askModel, UNITS_A_TOKEN } from '../../engine/ask.ts';
import { modelId } from '../../engine/models.ts';
import type { EngineDriver, ModelConfig, Prompt } from '../../engine/types.ts';
import { draftProposal, draftPrompt, readDraft, withChange, type Draft } from '../../wiki/draft.ts';
import { aboutPages, type FiledSource } from '../../wiki/ingest.ts';
import { memoryPages } from '../../wiki/memory-pages.ts';
import type { Proposal } from '../../wiki/proposal.ts';
import type { WikiDirectory } from '../../wiki/wiki-directory.ts';
import { requireMount } from '../mounted.ts';
import { chosenModel, driverFor } from '../models-on-mount.ts';
import type { Shell } from '../shell.ts';
import { titleOf } from './filing.ts';
import type { Material } from './material.ts';
import { author, now, today } from './place.ts';

const OUTPUT_TOKENS = 2048;
const MOST_INPUT_TOKENS = 16_000;
/** Of the material; the rest is named, and can be ingested by range. */
const MOST_PIECES = 8;
const LIMIT_MS = 20 * 60_000;

export interface Drafted {
  readonly proposal: Proposal | undefined;
  readonly dropped: Draft['dropped'];
  readonly notes: readonly string[];
}

/** The model that is named, or the store's own. Close it. */
export async function openDrafter(
  shell: Shell,
  named: string | undefined,
): Promise<{ readonly model: ModelConfig; readonly driver: EngineDriver }> {
  const model = await chosenModel(await requireMount(shell), named);
  return { model, driver: driverFor(shell, model) };
}

export async function draft(
  shell: Shell,
  place: WikiDirectory,
  { model, driver }: { readonly model: ModelConfig; readonly driver: EngineDriver },
  material: Material,
  source: FiledSource,
  interrupted: AbortSignal,
): Promise<Drafted> {
  const { text } = material;
  if (text === undefined) return { proposal: undefined, dropped: [], notes: ['it is no text: nothing was drafted'] };
  if (model.driver !== 'llama' && !material.remoteAllowed)
    throw new CtxError('wiki.remote', 'EPERM', 'the policy of the session allows no server to read its history', {
      where: material.origin,
      next: 'set remote: {allow: true} in its context/policy.yaml, or use a model file',
    });
  const shown = aboutPages(text, memoryPages(place).pages).flatMap(({ page: { path } }) => {
    const before = place.text(path);
    return before === undefined ? [] : [{ path, before, after: before }];
  });
  if (shown.length === 0) return { proposal: undefined, dropped: [], notes: [] };
  const signal = AbortSignal.any([interrupted, AbortSignal.timeout(LIMIT_MS)]);
  const dropped: Draft['dropped'][number][] = [];
  const whys: string[] = [];
  let rest = text;
  for (let piece = 1; rest.trim() !== '' && piece <= MOST_PIECES; piece += 1) {
    const pages = shown.map(({ path, after }) => ({ path, text: after }));
    const fitting = await fit(driver, modelId(model), rest, (part) => promptOf(draftPrompt(pages, part)));
    const { schema } = draftPrompt(pages, fitting);
    const question = { prompt: promptOf(draftPrompt(pages, fitting)), schema, maxTokens: OUTPUT_TOKENS, signal };
    const answer = await askModel(driver, question, (units) => unusable(model, `its answer is longer than ${units} characters`));
    const said = readDraft(answer.text, pages, fitting);
    if (said === undefined) throw unusable(model, `gave no usable answer (${answer.stop}, ${answer.generatedTokens} tokens)`);
    dropped.push(...said.dropped);
    if (said.changes.length > 0 && said.why !== '') whys.push(said.why);
    for (const change of said.changes) {
      const page = shown.find(({ path }) => path === change.page);
      // An earlier change of the same answer may have taken the words that this one replaces.
      if (page === undefined || (change.replaces !== '' && !page.after.includes(change.replaces))) continue;
      page.after = withChange(page.after, change, page.path, source);
    }
    rest = rest.slice(fitting.length);
  }
  const proposal = draftProposal({
    source,
    title: titleOf(material, source),
    pages: shown,
    why: whys.join(' '),
    day: today(shell),
    by: `${modelId(model)} for ${author(shell)}`,
    at: now(shell),
  });
  const left = rest.trim() === '' ? [] : [`${rest.length} of ${text.length} characters were not read: ingest a range of it`];
  return { proposal, dropped, notes: left };
}

/** As much of the text as the model takes in with the prompt around it, cut at a line's end. */
async function fit(driver: EngineDriver, model: string, text: string, prompt: (part: string) => Prompt): Promise<string> {
  const { contextTokens } = await driver.describe();
  const room = Math.min(MOST_INPUT_TOKENS, contextTokens - OUTPUT_TOKENS);
  for (let units = room * 4; units >= 64; units = Math.floor(units / 2)) {
    const part = text.length <= units ? text : cut(text, units);
    const asked = prompt(part);
    const tokens = (await driver.tokenize(asked, true))?.length ?? JSON.stringify(asked.messages).length / UNITS_A_TOKEN;
    if (tokens <= room) return part;
  }
  throw new CtxError(
    'wiki.context',
    'EMSGSIZE',
    `the model's context of ${contextTokens} tokens is too small for the pages that it is about`,
    {
      where: model,
      next: 'give the model a larger context (ctx model add --context)',
    },
  );
}

function cut(text: string, units: number): string {
  const line = text.lastIndexOf('\n', units - 1);
  return text.slice(0, line > units / 2 ? line + 1 : units);
}

function promptOf({ system, user }: { readonly system: string; readonly user: string }): Prompt {
  return {
    messages: [
      { role: 'system', content: system },
      { role: 'user', content: user },
    ],
    tools: [],
  };
}

function unusable(model: ModelConfig, what: string): CtxError {
  return new CtxError('wiki.draft', 'EIO', what, { where: modelId(model), next: 'the material is filed; try again, or use another model' });
}
