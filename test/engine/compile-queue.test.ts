import { describe, expect, test } from 'vitest';
import { CtxError } from '../../src/abi/errors.ts';
import { Entry } from '../../src/engine/compile-entries.ts';
import { absent } from '../../src/engine/manifest.ts';
import { CompileQueue } from '../../src/engine/compile-queue.ts';

describe('the queue before the engine', () => {
  const jobOf = (queue: CompileQueue<string>, nowMs: number): string | undefined => {
    const next = queue.take(nowMs);
    return next !== undefined && 'job' in next ? next.job.request : undefined;
  };

  test('ENG-11 a session waits once, with its newest request, in its first place', () => {
    const queue = new CompileQueue<string>(8);
    queue.put('a', 'a1', false, 0);
    queue.put('b', 'b1', false, 0);
    queue.put('a', 'a2', false, 0);
    expect(queue.size).toBe(2);
    expect([jobOf(queue, 0), jobOf(queue, 0), jobOf(queue, 0)]).toEqual(['a2', 'b1', undefined]);
  });

  test('ENG-11 who waits for state.bin goes first, and stays awaited when the pack moves on', () => {
    const queue = new CompileQueue<string>(8);
    queue.put('a', 'a1', false, 0);
    queue.put('b', 'b1', true, 0);
    expect(queue.put('b', 'b2', false, 0).job.awaited).toBe(true);
    expect([jobOf(queue, 0), jobOf(queue, 0)]).toEqual(['b2', 'a1']);
  });

  test('ENG-11 over the bound the longest waiting goes, never one that is awaited', () => {
    const queue = new CompileQueue<string>(2);
    queue.put('a', 'a1', true, 0);
    queue.put('b', 'b1', false, 0);
    expect(queue.put('c', 'c1', false, 0).dropped?.session).toBe('b');
    queue.put('c', 'c1', true, 0);
    const { job, dropped } = queue.put('d', 'd1', false, 0);
    expect(dropped).toBe(job);
    expect(queue.size).toBe(2);
  });

  test('ENG-12 a job that must wait is passed over, and the time until it may start is told', () => {
    const queue = new CompileQueue<string>(8);
    queue.put('a', 'a1', false, 500);
    expect(queue.take(100)).toEqual({ waitMs: 400 });
    queue.put('b', 'b1', false, 0);
    expect(jobOf(queue, 100)).toBe('b1');
    expect(jobOf(queue, 500)).toBe('a1');
    expect(queue.take(500)).toBeUndefined();
  });
});

test('ENG-12 each failure in a row doubles the wait up to the bound, and one success ends it', () => {
  const entry = new Entry('a', absent('nothing yet'));
  const waits = Array.from({ length: 5 }, () => {
    entry.failed(new CtxError('engine.crashed', 'EIO', 'it crashed'), 1000, { first: 10, most: 65 });
    return entry.notBeforeMs - 1000;
  });
  expect(waits).toEqual([10, 20, 40, 65, 65]);
  entry.forgetFailures();
  expect([entry.notBeforeMs, entry.failure]).toEqual([0, undefined]);
  entry.failed(new CtxError('engine.crashed', 'EIO', 'it crashed'), 1000, { first: 10, most: 65 });
  expect(entry.notBeforeMs).toBe(1010);
});
