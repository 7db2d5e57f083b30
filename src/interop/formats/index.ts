// The table of converters. `text` has none: it has no records (plan-text.ts).
import type { Converter, Format } from '../types.ts';
import { atif } from './atif.ts';
import { claudeCode } from './claude-code.ts';
import { codex } from './codex.ts';
import { gemini } from './gemini.ts';
import { openai } from './openai.ts';
import { pi } from './pi.ts';
import { sharegpt } from './sharegpt.ts';
import { sweAgent } from './swe-agent.ts';

export const CONVERTERS: Readonly<Record<Exclude<Format, 'text'>, Converter>> = {
  'claude-code': claudeCode,
  codex,
  gemini,
  openai,
  'swe-agent': sweAgent,
  pi,
  sharegpt,
  atif,
};
