/** A journal, and the drain that empties it into the database over its own connection. */
import type { Catalogue } from '../../protocol/catalogue.js'
import type { FoundChanges } from '../drain/changes.js'
import type { ChangeLimits } from '../limits/change-limits.js'
import type { Log } from '../support/log.js'
import type { Journal } from '../journal/journal.js'
import { inspectDirectCompress } from '../drain/direct-compress.js'
import { Drain } from '../drain/drain.js'
import { connectDurably } from '../database/durable-connection.js'
import { Spool } from '../spool/spool.js'
import { findStoredFrames } from './stored-frames.js'

/**
 * Bound on the rows of one COPY: large enough that its fixed costs do not matter, small enough to be retried cheaply.
 * Sorting them blocks the event loop. HTTP clients wait; UDP packets must fit into the kernel's buffer meanwhile, which
 * at 400,000 points a second holds a quarter of a second at most: hence a quarter of the rows, still 17,000.
 */
export const COPY_BYTES_MAX = { http: 4 * 1024 * 1024, udp: 1024 * 1024 } as const
const CONNECT_TIMEOUT_MS = 5_000
/** Delays the visibility of a point by at most this; in return a load of single points costs half the CPU time. */
const COMMIT_INTERVAL_MS = 30

export interface LaneOptions {
  readonly catalogue: Catalogue
  readonly journal: Journal
  readonly databaseUrl: string
  /** The worker's protocol. */
  readonly listener: keyof typeof COPY_BYTES_MAX
  readonly applicationName: string
  /** Whether TimescaleDB should compress large COPYs directly. */
  readonly directCompress: boolean
  readonly log: Log
  /** As DrainOptions has it. */
  readonly waitsForLedger?: boolean
  /** The limits on change in force; null: there is none. */
  readonly changeLimits: () => ChangeLimits | null
  readonly onChanges?: (found: FoundChanges) => void
  readonly onCommitted: (stored: number, milliseconds: number) => void
  /** The database has lost commits, and the spool has all of their frames: open it again, and they are stored again. */
  readonly onLostCommits?: () => void
}

export class Lane {
  readonly journal: Journal
  /** Points that PostgreSQL refused. */
  quarantined = 0
  readonly drain: Drain
  /** Resolves when the drain has reached a final state or was closed. */
  readonly drained: Promise<void>

  constructor (options: LaneOptions) {
    const {
      catalogue, journal, databaseUrl, listener, applicationName, directCompress, log, onCommitted, onLostCommits,
      waitsForLedger = false, changeLimits, onChanges
    } = options
    this.journal = journal
    this.drain = new Drain({
      journal,
      catalogue,
      connect: (statementMsMax) =>
        connectDurably(databaseUrl, { applicationName, connectTimeoutMs: CONNECT_TIMEOUT_MS, statementMsMax }),
      ...directCompress ? { directCompress: inspectDirectCompress } : {},
      findLostCommits: async (db, position) => {
        if (onLostCommits === undefined || !(journal instanceof Spool)) return false
        const isRight = await journal.isRightBehind(position, (parts) => findStoredFrames(db, catalogue, parts))
        if (isRight) onLostCommits()
        return isRight
      },
      log,
      waitsForLedger,
      changeLimits,
      ...onChanges === undefined ? {} : { onChanges },
      copyBytesMax: COPY_BYTES_MAX[listener],
      intervalMs: COMMIT_INTERVAL_MS,
      onCommitted: (stored, quarantined, milliseconds) => {
        this.quarantined += quarantined
        onCommitted(stored, milliseconds)
      }
    })
    this.drained = this.drain.run()
  }
}
