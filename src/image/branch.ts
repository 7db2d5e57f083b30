// `ctx fork IMAGE NEW`: the same layers under a new name, with a record of where it left its parent (IMG-32). Writes no layer.
import type { Branch, ImageConfig } from './config.ts';
import { writeImage, type Image } from './image.ts';
import type { ImageStore } from './layout-store.ts';

export interface Fork {
  readonly name: string;
  readonly version: string;
  /** NAME:TAG of the parent, as it was asked for. */
  readonly parent: string;
  /** RFC 3339. */
  readonly forkedAt: string;
  /** How instances of the branch may write to the memory that the parent binds. */
  readonly memoryWritePolicy: Branch['memory_write_policy'];
}

export async function forkImage(store: ImageStore, image: Image, fork: Fork): Promise<Image> {
  const { config } = image;
  const branch: Branch = {
    parent: fork.parent,
    parent_digest: image.descriptor.digest,
    forked_at: fork.forkedAt,
    inherited_layers: config.layers.flatMap(({ parts }) => parts.map(({ digest }) => digest)),
    top_layer: config.layers.at(-1)?.name ?? null,
    divergence: { messages: config.continuation.messages, events: config.continuation.events },
    memory_write_policy: fork.memoryWritePolicy,
  };
  const { redacted: _gone, ...kept } = config;
  const forked: ImageConfig = {
    ...kept,
    name: fork.name,
    version: fork.version,
    created_at: fork.forkedAt,
    parent: fork.parent,
    parent_digest: image.descriptor.digest,
    mounts: {
      ...config.mounts,
      memory: config.mounts.memory.map((binding) => ({ ...binding, mode: modeUnder(fork.memoryWritePolicy, binding.mode) })),
    },
    branch,
  };
  return writeImage(store, forked);
}

function modeUnder(policy: Branch['memory_write_policy'], mode: 'read-only' | 'read-write' | 'ephemeral'): typeof mode {
  return mode === 'read-write' && policy !== 'shared' ? policy : mode;
}
