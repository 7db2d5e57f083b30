// DSSE envelopes over in-toto statements about an image's manifest, kept as referrers (IMG-80, IMG-81).
import { sign, verify, type KeyObject } from 'node:crypto';
import { CtxError } from '../abi/errors.ts';
import type { ImageStore } from './layout-store.ts';
import { canonicalBytes, invalid, MEDIA, parseBounded, record, type Descriptor, type Manifest, type OciDigest } from './oci.ts';
import type { KnownKey } from './trust-keys.ts';

export const SIGNATURE_PREDICATE = 'urn:ctxfs:signature:v1';
const STATEMENT = 'https://in-toto.io/Statement/v1';
const PAYLOAD_TYPE = 'application/vnd.in-toto+json';
const MAX_ENVELOPE_BYTES = 1024 * 1024;
/** Of one image that are looked at: the oldest. */
const MAX_SIGNATURES = 256;

export interface Statement {
  readonly predicateType: string;
  readonly predicate: unknown;
  /** What it is called where it was signed; only the digest counts. */
  readonly subjectName: string;
  readonly subject: OciDigest;
}

export interface Signer {
  readonly id: OciDigest;
  readonly key: KeyObject;
}

/** DSSE v1: the type is signed with the body, so that nothing is taken for something else. */
function preAuthentication(body: Uint8Array): Buffer {
  return Buffer.concat([Buffer.from(`DSSEv1 ${PAYLOAD_TYPE.length} ${PAYLOAD_TYPE} ${body.length} `), body]);
}

export function statementBytes(statement: Statement): Buffer {
  return canonicalBytes({
    _type: STATEMENT,
    subject: [{ name: statement.subjectName, digest: { sha256: statement.subject.slice('sha256:'.length) } }],
    predicateType: statement.predicateType,
    predicate: statement.predicate,
  });
}

export function envelopeBytes(statement: Statement, signers: readonly Signer[]): Buffer {
  const body = statementBytes(statement);
  return canonicalBytes({
    payloadType: PAYLOAD_TYPE,
    payload: body.toString('base64'),
    signatures: signers.map(({ id, key }) => ({ keyid: id, sig: sign(null, preAuthentication(body), key).toString('base64') })),
  });
}

/** The statement, and which of these keys signed it. Throws `image.invalid` when it is no envelope over a statement. */
export function openEnvelope(
  bytes: Uint8Array,
  keys: readonly KnownKey[],
  where: string,
): { statement: Statement; signedBy: readonly KnownKey[] } {
  const envelope = record(parseBounded(bytes, where, MAX_ENVELOPE_BYTES), where);
  const { payloadType, payload, signatures } = envelope;
  if (payloadType !== PAYLOAD_TYPE || typeof payload !== 'string' || !Array.isArray(signatures) || signatures.length > 64)
    throw invalid(where, 'is no DSSE envelope over an in-toto statement');
  const body = Buffer.from(payload, 'base64');
  const signed = preAuthentication(body);
  const signedBy = keys.filter(({ publicKey }) =>
    signatures.some((entry) => {
      const { sig } = record(entry, where);
      // Every known key is tried: the keyid is only a hint that anyone can write.
      return typeof sig === 'string' && verify(null, signed, publicKey, Buffer.from(sig, 'base64'));
    }),
  );
  return { statement: parseStatement(body, where), signedBy };
}

function parseStatement(body: Buffer, where: string): Statement {
  const value = record(parseBounded(body, where, MAX_ENVELOPE_BYTES), where);
  const [subject] = Array.isArray(value['subject']) && value['subject'].length === 1 ? (value['subject'] as unknown[]) : [];
  if (value['_type'] !== STATEMENT || subject === undefined || typeof value['predicateType'] !== 'string')
    throw invalid(where, 'holds no in-toto statement with one subject');
  const { name, digest } = record(subject, where);
  const { sha256 } = record(digest, where);
  if (typeof sha256 !== 'string' || !/^[0-9a-f]{64}$/.test(sha256)) throw invalid(where, 'names its subject without a sha256');
  return {
    predicateType: value['predicateType'],
    predicate: value['predicate'],
    subjectName: typeof name === 'string' ? name : '',
    subject: `sha256:${sha256}`,
  };
}

/** Stores what is said about an image and names it in the index. */
export async function addAbout(
  store: ImageStore,
  subject: Descriptor,
  artifactType: typeof MEDIA.signature | typeof MEDIA.provenance | typeof MEDIA.redaction,
  layer: { readonly mediaType: string; readonly bytes: Buffer },
): Promise<Descriptor> {
  const held = await store.hold();
  try {
    const manifest: Manifest = {
      schemaVersion: 2,
      mediaType: MEDIA.manifest,
      artifactType,
      config: { mediaType: MEDIA.empty, ...(await store.put(Buffer.from('{}'))) },
      layers: [{ mediaType: layer.mediaType, ...(await store.put(layer.bytes)) }],
      subject: { mediaType: subject.mediaType, digest: subject.digest, size: subject.size },
    };
    const descriptor = await store.putManifest(manifest, canonicalBytes(manifest));
    await store.addReferrer(descriptor, subject.digest);
    return descriptor;
  } finally {
    await held.release();
  }
}

export interface FoundSignature {
  readonly descriptor: Descriptor;
  readonly signedBy: readonly KnownKey[];
  readonly predicate: unknown;
  /** Why it does not count. */
  readonly fault?: string;
}

/** Every signature of a manifest, and which known keys made it. */
export async function signaturesOf(store: ImageStore, subject: OciDigest, keys: readonly KnownKey[]): Promise<readonly FoundSignature[]> {
  const found: FoundSignature[] = [];
  for (const descriptor of await store.referrers(subject)) {
    if (found.length >= MAX_SIGNATURES) break;
    try {
      const manifest = await store.manifest(descriptor);
      if (manifest.artifactType !== MEDIA.signature) continue;
      const [layer] = manifest.layers;
      if (layer?.mediaType !== MEDIA.envelope) throw invalid(descriptor.digest, 'has no envelope');
      const { statement, signedBy } = openEnvelope(await store.read(layer, MAX_ENVELOPE_BYTES), keys, descriptor.digest);
      const fault =
        statement.subject !== subject
          ? `is about ${statement.subject}`
          : statement.predicateType !== SIGNATURE_PREDICATE
            ? `says ${JSON.stringify(statement.predicateType.slice(0, 80))}`
            : undefined;
      found.push({ descriptor, predicate: statement.predicate, ...(fault === undefined ? { signedBy } : { signedBy: [], fault }) });
    } catch (error) {
      if (!(error instanceof CtxError)) throw error;
      found.push({ descriptor, signedBy: [], predicate: undefined, fault: error.describe() });
    }
  }
  return found;
}

export interface SignatureFacts {
  readonly name: string;
  readonly signedAt: Date;
}

export async function signManifest(
  store: ImageStore,
  subject: Descriptor,
  signer: Signer,
  { name, signedAt }: SignatureFacts,
): Promise<Descriptor> {
  const statement = {
    predicateType: SIGNATURE_PREDICATE,
    predicate: { signed_at: signedAt.toISOString() },
    subjectName: name,
    subject: subject.digest,
  };
  return addAbout(store, subject, MEDIA.signature, { mediaType: MEDIA.envelope, bytes: envelopeBytes(statement, [signer]) });
}
