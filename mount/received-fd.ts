// A socket pair and one descriptor received over it (SCM_RIGHTS): what plain Node cannot do.
// libc is called through koffi, loaded only when an ordinary user mounts. 64-bit Linux layouts of cmsg(3).
import { closeSync } from 'node:fs';
import { CtxError } from '../src/abi/errors.ts';

export interface SocketPair {
  /** Give this end to the child. */
  readonly childFd: number;
  /** The descriptor that the child sent, or undefined when it sent none. Never waits. Close-on-exec. */
  receive(): number | undefined;
  close(): void;
}

const AF_UNIX = 1;
const SOCK_STREAM_CLOEXEC = 1 | 0x80000;
const SOL_SOCKET = 1;
const SCM_RIGHTS = 1;
const MSG_DONTWAIT_CMSG_CLOEXEC = 0x40 | 0x4000_0000;

// One block of memory: struct msghdr (56), struct iovec (16), one data byte (padded to 8), control (64).
const IOVEC_AT = 56;
const DATA_AT = 72;
const CONTROL_AT = 80;
const CONTROL_BYTES = 64;

export async function socketPair(): Promise<SocketPair> {
  const { default: koffi } = await import('koffi').catch((cause: unknown) => {
    throw new CtxError('mount.no_ffi', 'ENOSYS', 'the optional native library koffi does not load here', {
      next: 'mount as root, or use --driver fuse-native',
      cause,
    });
  });
  const libc = koffi.load(null);
  const socketpair = libc.func('socketpair', 'int', ['int', 'int', 'int', 'void *']);
  const recvmsg = libc.func('recvmsg', 'intptr_t', ['int', 'void *', 'int']);
  const pair = new Int32Array(2);
  if (socketpair(AF_UNIX, SOCK_STREAM_CLOEXEC, 0, pair) !== 0) {
    throw new CtxError('mount.socketpair', 'EMFILE', 'cannot make a socket pair for fusermount3', { next: 'raise the open-file limit' });
  }
  const [ours = -1, theirs = -1] = pair;
  return {
    childFd: theirs,
    receive() {
      const base = BigInt(koffi.alloc('uint8_t', CONTROL_AT + CONTROL_BYTES) as bigint);
      try {
        const memory = new DataView(koffi.view(base, CONTROL_AT + CONTROL_BYTES));
        for (let at = 0; at < memory.byteLength; at++) memory.setUint8(at, 0);
        memory.setBigUint64(16, base + BigInt(IOVEC_AT), true);
        memory.setBigUint64(24, 1n, true);
        memory.setBigUint64(32, base + BigInt(CONTROL_AT), true);
        memory.setBigUint64(40, BigInt(CONTROL_BYTES), true);
        memory.setBigUint64(IOVEC_AT, base + BigInt(DATA_AT), true);
        memory.setBigUint64(IOVEC_AT + 8, 1n, true);
        if (Number(recvmsg(ours, base, MSG_DONTWAIT_CMSG_CLOEXEC)) < 0) return undefined;
        const controlBytes = memory.getBigUint64(40, true);
        const isRights = memory.getInt32(CONTROL_AT + 8, true) === SOL_SOCKET && memory.getInt32(CONTROL_AT + 12, true) === SCM_RIGHTS;
        return controlBytes >= 20n && isRights ? memory.getInt32(CONTROL_AT + 16, true) : undefined;
      } finally {
        koffi.free(base);
      }
    },
    close() {
      closeSync(ours);
      closeSync(theirs);
    },
  };
}
