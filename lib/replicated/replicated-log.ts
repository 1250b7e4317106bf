/**
 * The replicated log as the rest of the program sees it: streams of numbered messages, kept by several servers. The
 * only implementation is NATS JetStream (jetstream.ts); tests use one with faults.
 *
 * What the rest relies on
 * - append() stores a message if and only if the last one of the stream has the number before it. Several may be under
 *   way at once. If it resolves, the message is on as many servers as the stream has replicas, or on most of them.
 * - After 'away' the outcome is unknown, for good: a copy may arrive at any later time. After 'conflict', 'full' and
 *   'missing' this message was not stored, though an earlier copy of it may have been.
 * - last() and next() ask the server that orders appends, so what they return is not behind an append that resolved.
 */

/** 'away': no answer. 'conflict': another message has that number. 'full': no room. 'missing': no such stream. */
export type LogFault = 'away' | 'conflict' | 'full' | 'missing'

/** The log could not do what it was asked. */
export class LogError extends Error {
  override readonly name = 'LogError'

  constructor (readonly fault: LogFault, message: string, options?: ErrorOptions) {
    super(message, options)
  }
}

/** The fault of a LogError; any other error is a bug, and thrown. */
export function faultOf (error: unknown): LogFault {
  if (error instanceof LogError) return error.fault
  throw error
}

export interface StoredMessage {
  /** Position in the stream, from 1. */
  readonly position: number
  readonly bytes: Buffer
}

/** One epoch of one lane. */
export interface StreamName {
  /** Random, 32 hexadecimal digits: one life of one worker. It is the key of the lane's row in the ledger. */
  readonly lane: string
  readonly epoch: number
}

/** The id of an epoch in the ledger, as in LedgerPosition: as random as the lane's. */
export function epochIdOf ({ lane, epoch }: StreamName): string {
  return lane.slice(0, 24) + epoch.toString(16).padStart(8, '0')
}

/** A stream that exists. */
export interface FoundStream extends StreamName {
  /** Of the server that made it. */
  readonly instance: string
  readonly slot: number
  /** Where the epoch before it ended; null: unknown. */
  readonly after: Reach | null
}

/** A frame, and the rows of its epoch up to it. */
export interface Reach {
  readonly sequence: number
  readonly rows: number
}

export interface ReplicatedLog {
  /** Largest message. */
  readonly messageBytesMax: number
  /** Creates a stream, unless it exists. Rejects with 'full' if no server has room for it. */
  create (stream: FoundStream): Promise<void>
  /** @param position that the message gets */
  append (stream: StreamName, position: number, message: Uint8Array): Promise<void>
  /** Number of the last message ever appended; 0: none. */
  last (stream: StreamName): Promise<number>
  /** The first message at or after a position. */
  next (stream: StreamName, from: number): Promise<StoredMessage | null>
  /** Frees the space of messages up to a position. */
  trim (stream: StreamName, through: number): Promise<void>
  /** All streams of this log, or those of one lane, which do not depend on whether the others can be listed. */
  list (lane?: string): Promise<readonly FoundStream[]>
  /** Removes a stream, if it exists. */
  remove (stream: StreamName): Promise<void>
  close (): Promise<void>
}
