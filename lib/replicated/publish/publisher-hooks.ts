/** What the publisher needs, and whom it tells. */
import type { ReplicatedLog } from '../replicated-log.js'
import type { StoredFrame } from './pending.js'
import type { Timing } from '../timing.js'

export interface PublisherOptions {
  readonly log: ReplicatedLog
  readonly lane: string
  readonly instance: string
  readonly slot: number
  readonly rowFormat: number
  /** Milliseconds since 1970. */
  readonly now: () => number
  readonly timing: Timing
}

export interface PublisherHooks {
  /** In order, before its batch is answered. */
  stored (frame: StoredFrame): void
  /** After its batch was answered. */
  answered (frame: StoredFrame): void
  /** From sending to the answer. */
  acknowledged (milliseconds: number): void
  /** The log has no room: append nothing until there is. */
  full (): void
  /** Something that a person should know. */
  fault (message: string): void
  /** Fewer than WINDOW_FRAMES are under way, or none is left to send. */
  idle (): void
  /** Everything that is in the log is committed. */
  isDrained (): boolean
  /** Sequence up to which frames of an epoch are known to be committed. */
  committed (epoch: number): number
}
