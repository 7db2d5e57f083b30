// A layout of its own for each test, removed afterwards.
import * as fs from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { onTestFinished } from 'vitest';
import { ImageStore } from '../../src/image/layout-store.ts';

export async function scratch(): Promise<string> {
  const directory = await fs.mkdtemp(join(tmpdir(), 'ctx-image-'));
  onTestFinished(() => fs.rm(directory, { recursive: true, force: true }));
  return directory;
}

export async function scratchStore(): Promise<ImageStore> {
  return ImageStore.open(join(await scratch(), 'layout'));
}
