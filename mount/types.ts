// The mount's outer contract: lifecycle here, drivers in kernel/ and fuse-native/.

export type DriverName = 'kernel' | 'fuse-native';

/** What stands at a mount point now. `dead`: a FUSE mount whose daemon is gone (ENOTCONN) or hung. */
export type MountState = 'none' | 'live' | 'dead' | 'other';

/** A mounted /dev/fuse connection. */
export interface Attached {
  /** Descriptor of /dev/fuse, owned by the caller. */
  readonly fd: number;
  readonly mountpoint: string;
  /** True when the mount was made through fusermount3 (an ordinary user). */
  readonly unprivileged: boolean;
}

/** Arguments of the daemon process: `node dist/mount/daemon.js <json>`. It prints one line, `ready` or `error: …`, on fd 1 and then detaches from it. */
export interface DaemonArguments {
  readonly mountpoint: string;
  readonly store: string;
  readonly driver: DriverName;
  readonly foreground: boolean;
  readonly logFile: string | null;
}
