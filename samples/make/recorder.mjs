// Plays an agent's work on files in memory and writes it down as Claude Code would. Deterministic.
import { createHash } from 'node:crypto';

const SESSION = 'c7a1f0de-52b4-4e0b-9a36-3d8f1c9b7e42';
const ROOT = '/home/mira/src/dockd';

export class Recorder {
  lines = [];
  files;
  #count = 0;
  #parent = null;
  #timeMs = Date.parse('2026-02-10T08:12:00.000Z');
  #call = 0;
  #turn = 0;
  #pendingId;
  #tests = ['test/feed.test.ts', 'test/store.test.ts'];

  constructor(files) {
    this.files = { ...files };
  }

  id(kind) {
    return createHash('sha256').update(`${kind}${this.#count}`).digest('hex');
  }

  #uuid() {
    const hex = this.id('uuid');
    return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-4${hex.slice(13, 16)}-a${hex.slice(17, 20)}-${hex.slice(20, 32)}`;
  }

  push(fields, seconds = 3) {
    this.#count++;
    this.#timeMs += seconds * 1000 + (this.#count % 7) * 131;
    const uuid = this.#uuid();
    const record = {
      parentUuid: this.#parent, isSidechain: false, userType: 'external', cwd: ROOT, sessionId: SESSION, version: '2.1.39', gitBranch: 'main',
      ...fields, uuid, timestamp: new Date(this.#timeMs).toISOString(),
    };
    this.#parent = uuid;
    this.lines.push(JSON.stringify(record));
    return uuid;
  }

  /** Records that are no part of the tree. */
  aside(record) {
    this.lines.push(JSON.stringify(record));
  }

  user(content) {
    this.#turn++;
    this.#pendingId = undefined;
    this.aside({ type: 'file-history-snapshot', messageId: this.#parent ?? 'start', snapshot: { messageId: this.#parent ?? 'start', trackedFileBackups: {}, timestamp: new Date(this.#timeMs).toISOString() }, isSnapshotUpdate: false });
    this.push({ type: 'user', message: { role: 'user', content }, permissionMode: 'acceptEdits' }, 45);
  }

  #assistant(block) {
    this.#pendingId ??= `msg_01${this.id('msg').slice(0, 22)}`;
    this.push({
      message: {
        model: 'claude-sonnet-4-5-20250929', id: this.#pendingId, type: 'message', role: 'assistant', content: [block], stop_reason: null, stop_sequence: null,
        usage: { input_tokens: 6, cache_creation_input_tokens: 210 + (this.#count % 90), cache_read_input_tokens: 17_000 + this.#count * 190, output_tokens: 3 + (this.#count % 40), service_tier: 'standard' },
      },
      requestId: `req_011${this.id('req').slice(0, 20)}`, type: 'assistant',
    });
  }

  think(thinking) {
    this.#assistant({ type: 'thinking', thinking, signature: `EqoB${Buffer.from(this.id('sig') + this.id('nature'), 'hex').toString('base64')}` });
  }

  say(text) {
    this.#assistant({ type: 'text', text });
  }

  #tool(name, input, output, result, isError = false) {
    this.#call++;
    const id = `toolu_01${createHash('sha256').update(`call${this.#call}`).digest('hex').slice(0, 22)}`;
    this.#assistant({ type: 'tool_use', id, name, input });
    this.push({
      type: 'user', message: { role: 'user', content: [{ tool_use_id: id, type: 'tool_result', content: output, ...(isError ? { is_error: true } : {}) }] },
      toolUseResult: result,
    }, 1);
    this.#pendingId = undefined;
  }

  read(path) {
    const text = this.files[path];
    const lines = text.replace(/\n$/, '').split('\n');
    const output = lines.map((line, index) => `${String(index + 1).padStart(6)}→${line}`).join('\n');
    this.#tool('Read', { file_path: `${ROOT}/${path}` }, output, { type: 'text', file: { filePath: `${ROOT}/${path}`, numLines: lines.length, startLine: 1, totalLines: lines.length } });
  }

  edit(path, before, after) {
    const text = this.files[path];
    if (text.split(before).length !== 2) throw new Error(`${path}: the text to replace occurs ${text.split(before).length - 1} times:\n${before}`);
    this.files[path] = text.replace(before, () => after);
    const at = text.slice(0, text.indexOf(before)).split('\n').length;
    const shown = this.files[path].split('\n').slice(Math.max(0, at - 4), at + after.split('\n').length + 3);
    const output = `The file ${ROOT}/${path} has been updated. Here's the result of running \`cat -n\` on a snippet of the edited file:\n${shown.map((line, index) => `${String(Math.max(1, at - 3) + index).padStart(6)}→${line}`).join('\n')}`;
    this.#tool('Edit', { file_path: `${ROOT}/${path}`, old_string: before, new_string: after }, output, { filePath: `${ROOT}/${path}`, oldString: before.slice(0, 60), userModified: false, replaceAll: false });
  }

  write(path, text) {
    this.files[path] = text;
    if (path.startsWith('test/')) this.#tests = [...new Set([...this.#tests, path])].sort();
    this.#tool('Write', { file_path: `${ROOT}/${path}`, content: text }, `File created successfully at: ${ROOT}/${path}`, { type: 'create', filePath: `${ROOT}/${path}` });
  }

  bash(command, stdout, failed = false) {
    this.#tool('Bash', { command, description: command.split(' ').slice(0, 3).join(' ') }, failed ? `Exit code 1\n${stdout}` : stdout, failed ? `Error: Exit code 1` : { stdout: stdout.slice(0, 120), stderr: '', interrupted: false, isImage: false }, failed);
  }

  grep(pattern) {
    const found = Object.entries(this.files).flatMap(([path, text]) => text.split('\n').flatMap((line, index) => (new RegExp(pattern).test(line) ? [`${path}:${index + 1}:${line}`] : [])));
    this.#tool('Grep', { pattern, output_mode: 'content', '-n': true }, found.join('\n') || 'No matches found', { mode: 'content', numLines: found.length });
  }

  todo(items) {
    const todos = items.map(([content, status]) => ({ content, status, activeForm: `${content}` }));
    this.#tool('TodoWrite', { todos }, 'Todos have been modified successfully. Ensure that you continue to use the todo list to track your progress. Please proceed with the current tasks if applicable', { newTodos: todos });
  }

  /** `npm test` with a plausible report; `failures`: test name → message. */
  test(failures = {}) {
    const rows = [];
    let count = 0;
    const failed = Object.entries(failures);
    for (const path of this.#tests) {
      const names = [...this.files[path].matchAll(/^test\('([^']+)'/gm)].map((match) => match[1]);
      count += names.length;
      const bad = failed.filter(([name]) => names.includes(name));
      rows.push(bad.length === 0 ? ` ✓ ${path} (${names.length} tests) ${11 + names.length * 3}ms` : ` ❯ ${path} (${names.length} tests | ${bad.length} failed) ${20 + names.length * 5}ms`);
      for (const [name, message] of bad) rows.push(`   × ${name} 8ms`, `     → ${message.split('\n')[0]}`);
    }
    for (const [name, message] of failed) rows.push('', '⎯⎯⎯⎯⎯⎯⎯ Failed Tests ⎯⎯⎯⎯⎯⎯⎯', '', ` FAIL  ${name}`, message);
    const summary = failed.length === 0
      ? [` Test Files  ${this.#tests.length} passed (${this.#tests.length})`, `      Tests  ${count} passed (${count})`]
      : [` Test Files  1 failed | ${this.#tests.length - 1} passed (${this.#tests.length})`, `      Tests  ${failed.length} failed | ${count - failed.length} passed (${count})`];
    this.bash('npm test', ['', '> dockd@0.4.1 test', '> vitest run', '', ' RUN  v3.0.5 /home/mira/src/dockd', '', ...rows, '', ...summary, `   Start at  ${new Date(this.#timeMs).toISOString().slice(11, 19)}`, `   Duration  ${412 + this.#count}ms`, ''].join('\n'), failed.length > 0);
  }

  compact(summary) {
    this.push({ type: 'system', subtype: 'compact_boundary', content: 'Conversation compacted', isMeta: false, level: 'info', compactMetadata: { trigger: 'auto', preTokens: 155_412 } });
    this.push({ type: 'user', isVisibleInTranscriptOnly: true, isCompactSummary: true, message: { role: 'user', content: summary } });
  }

  title(summary) {
    this.aside({ type: 'ai-title', aiTitle: summary, sessionId: SESSION });
  }
}
