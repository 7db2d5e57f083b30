// `ctx fsck`, the journal part: reads one session directory and says what is not as it should be. Changes nothing.
import { createHash } from 'node:crypto';
import { join } from 'node:path';
import { CtxError } from '../abi/errors.ts';
import { lineFault } from '../abi/records.ts';
import { JOURNALS, type JournalFile } from '../abi/session-files.ts';
import { errnoOf, nodeDisk, readFully, readWhole, type Disk } from './disk.ts';
import { INPUTS_DIR, hexOf, readInputs } from './inputs.ts';
import { JournalBytes } from './journal-bytes.ts';
import { isSealedTwin, readSealed, sealedOf } from './layout.ts';
import { scanLines } from './line-scan.ts';
import { OrderPages } from './order-pages.ts';
import { ORDER_FILE, ORDER_VERSION } from './order-record.ts';
import { recordHolds } from './order-recovery.ts';
import { digestOfPrefix, keyOf, rememberedDigests } from './segment-digests.ts';

export interface FsckFinding {
  /** `error`: bytes are missing or wrong. `warning`: repaired by the next open, or harmless. */
  readonly severity: 'error' | 'warning';
  readonly code: string;
  readonly where: string;
  readonly message: string;
}

const LINES_SHOWN = 10;

/** Cost: reads every byte once or twice. Safe beside a running daemon, except that its last line may show as unrecorded. */
export function fsckSession(directory: string, disk: Disk = nodeDisk): readonly FsckFinding[] {
  const findings: FsckFinding[] = [];
  const add = (severity: FsckFinding['severity'], code: string, where: string, message: string): void => {
    // What keeps several checks from reading is said once.
    if (findings.some((known) => known.code === code && known.where === where && known.message === message)) return;
    findings.push({ severity, code, where, message });
  };
  const checks: readonly (() => void)[] = [
    () => checkSegments(directory, disk, add),
    ...JOURNALS.map((journal) => () => checkLines(directory, journal, disk, add)),
    () => checkOrder(directory, disk, add),
    () => checkInputs(directory, disk, add),
  ];
  for (const check of checks) {
    try {
      check();
    } catch (error) {
      if (error instanceof CtxError) add('error', error.code, error.where ?? directory, error.message);
      else if (errnoOf(error) !== undefined) add('error', 'fsck.unreadable', directory, (error as Error).message);
      else throw error;
    }
  }
  return findings;
}

type Add = (severity: FsckFinding['severity'], code: string, where: string, message: string) => void;

function checkSegments(directory: string, disk: Disk, add: Add): void {
  const sealed = readSealed(directory, disk);
  const remembered = rememberedDigests(directory, disk);
  for (const segment of sealed) {
    const path = join(directory, segment.file);
    if (!disk.existsSync(path)) {
      add('error', 'segment.missing', segment.file, `${segment.bytes} bytes of ${segment.journal} are gone`);
      continue;
    }
    const wanted = segment.sha256 ?? remembered.get(keyOf(segment));
    const fd = disk.openSync(path, 'r');
    try {
      const size = disk.fstatSync(fd).size;
      if (size < segment.bytes) add('error', 'segment.short', segment.file, `holds ${size} of ${segment.bytes} bytes`);
      else if (wanted !== undefined) {
        // Where the digest is not known yet, the order log's chain speaks for the bytes.
        const sha256 = digestOfPrefix((position, into) => {
          const bytes = readFully(disk, fd, position, into.length);
          into.set(bytes);
          return bytes.length;
        }, segment.bytes);
        if (sha256 !== wanted) add('error', 'segment.digest', segment.file, 'does not match its digest');
      }
    } finally {
      disk.closeSync(fd);
    }
  }
  for (const journal of JOURNALS) {
    const last = sealedOf(sealed, journal).at(-1);
    if (last !== undefined && isSealedTwin(disk, join(directory, journal), join(directory, last.file))) {
      add('warning', 'segment.unfinished_seal', journal, 'a fork was interrupted; the next open completes it');
    }
  }
}

function checkLines(directory: string, journal: JournalFile, disk: Disk, add: Add): void {
  const bytes = new JournalBytes(directory, journal, disk);
  try {
    const kind = journal === 'messages.jsonl' ? 'messages' : 'events';
    const size = bytes.sizeBytes();
    let number = 0;
    let bad = 0;
    const end = scanLines(
      (position, into) => bytes.read(position, into),
      0,
      size,
      (line) => {
        number++;
        const fault = lineFault(kind, line);
        if (fault !== undefined && bad++ < LINES_SHOWN)
          add('error', 'line.invalid', `${journal} line ${number}`, `is not a valid line (${fault})`);
      },
    );
    if (bad > LINES_SHOWN) add('error', 'line.invalid', journal, `${bad - LINES_SHOWN} more invalid lines`);
    if (end < size)
      add(
        'warning',
        'journal.torn',
        `${journal} line ${number + 1}`,
        `ends without a newline (${size - end} bytes); the next open sets it aside`,
      );
  } finally {
    bytes.close();
  }
}

function checkOrder(directory: string, disk: Disk, add: Add): void {
  const pages = new OrderPages(directory, disk);
  const header = pages.header();
  if (header.length >= 10 && header.readUInt16BE(8) > ORDER_VERSION) {
    pages.close();
    return add(
      'error',
      'order.format',
      ORDER_FILE,
      `has format ${header.readUInt16BE(8)}; this version reads ${ORDER_VERSION}: use a newer ctxfs`,
    );
  }
  const bytes = {
    'messages.jsonl': new JournalBytes(directory, 'messages.jsonl', disk),
    'events.jsonl': new JournalBytes(directory, 'events.jsonl', disk),
  };
  try {
    const inputLines = readInputs(directory, disk).lines;
    for (let index = 0; index < pages.length; index++) {
      if (recordHolds({ bytes, inputLines }, pages, index)) continue;
      add(
        'error',
        'order.mismatch',
        `order.log record ${index}`,
        'does not match what it covers; it and later records are rebuilt on the next open if it is near the end',
      );
      return;
    }
    const last = pages.at(pages.length - 1);
    const trailing = bytes['messages.jsonl'].sizeBytes() - last.messagesEnd + bytes['events.jsonl'].sizeBytes() - last.eventsEnd;
    if (trailing > 0) add('warning', 'order.trails', 'order.log', `${trailing} bytes have no record yet`);
  } finally {
    pages.close();
    for (const source of Object.values(bytes)) source.close();
  }
}

function checkInputs(directory: string, disk: Disk, add: Add): void {
  const { inputs, sizeBytes, fileBytes } = readInputs(directory, disk);
  if (sizeBytes < fileBytes) add('warning', 'inputs.torn', 'inputs.jsonl', 'the last line is torn; the next open cuts it');
  for (const digest of new Set(inputs.map((input) => input.digest).filter((each) => each !== undefined))) {
    const hex = hexOf(digest);
    const bytes = readWhole(disk, join(directory, INPUTS_DIR, hex));
    if (bytes === undefined) add('error', 'input.missing', `inputs/${hex}`, 'a recorded input is gone');
    else if (createHash('sha256').update(bytes).digest('hex') !== hex)
      add('error', 'input.digest', `inputs/${hex}`, 'does not match its digest');
  }
}
