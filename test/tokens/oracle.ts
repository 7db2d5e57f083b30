// tiktoken itself (WASM), the oracle for every count.
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { Tiktoken } from 'tiktoken/lite';

interface EncoderData {
  readonly bpe_ranks: string;
  readonly special_tokens: Record<string, number>;
  readonly pat_str: string;
}

export function oracle(name: string): (text: string) => number[] {
  const path = createRequire(import.meta.url).resolve(`tiktoken/encoders/${name}.json`);
  const data = JSON.parse(readFileSync(path, 'utf8')) as EncoderData;
  const encoder = new Tiktoken(data.bpe_ranks, data.special_tokens, data.pat_str);
  return (text) => [...encoder.encode_ordinary(text)];
}
