// How many files may be open, and how many sessions that allows: a process that looks at ten thousand must not use them up.
import { readFileSync } from 'node:fs';

/** An open session holds its journals, their order, segments, pack texts and cache, on both threads. */
const FILES_A_SESSION = 16;

/** RLIMIT_NOFILE of this process; Node has raised it to the hard limit. 1,024 where the kernel does not say. */
export function openFilesLimit(): number {
  try {
    const limit = /^Max open files +(\d+|unlimited)/m.exec(readFileSync('/proc/self/limits', 'utf8'))?.[1];
    return limit === 'unlimited' ? Infinity : Number(limit ?? 1024);
  } catch {
    return 1024;
  }
}

/** Sessions whose files are a quarter of these, at least four. */
export function sessionsWithin(files: number): number {
  return Math.max(4, Math.floor(files / 4 / FILES_A_SESSION));
}
