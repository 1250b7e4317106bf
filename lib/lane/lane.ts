/** A journal and the drain that empties it into the database over a connection of its own. */
import type { Log } from '../support/log.js'
import type { Journal } from '../journal/journal.js'
import { inspectDirectCompress } from '../drain/direct-compress.js'
import { Drain } from '../drain/drain.js'
import { connectDurably } from '../database/durable-connection.js'

/**
 * Bytes of rows in one COPY at most: large enough that its fixed costs do not count, small enough to be retried cheaply.
 * Sorting one holds up the event loop. HTTP clients wait that long; UDP packets must find room in the kernel meanwhile,
 * which for 400,000 points a second is a quarter of a second at most: hence a quarter of the rows, still 17,000.
 */
export const COPY_BYTES_MAX = { http: 4 * 1024 * 1024, udp: 1024 * 1024 } as const
const CONNECT_TIMEOUT_MS = 5_000
/** A point is visible to queries at most this much later; in return a load of single points costs half the processor time. */
const COMMIT_INTERVAL_MS = 30

export interface LaneOptions {
  readonly journal: Journal
  readonly databaseUrl: string
  /** What the worker listens to. */
  readonly listener: keyof typeof COPY_BYTES_MAX
  readonly applicationName: string
  /** Whether TimescaleDB is to compress large COPYs at once. */
  readonly directCompress: boolean
  readonly log: Log
  readonly onCommitted: (stored: number, milliseconds: number) => void
}

export class Lane {
  readonly journal: Journal
  /** Points that PostgreSQL refused. */
  quarantined = 0
  readonly drain: Drain
  /** When the journal is ended and empty, or the drain was closed. */
  readonly drained: Promise<void>

  constructor (options: LaneOptions) {
    const { journal, databaseUrl, listener, applicationName, directCompress, log, onCommitted } = options
    this.journal = journal
    this.drain = new Drain({
      journal,
      connect: (statementMsMax) => connectDurably(databaseUrl, { applicationName, connectTimeoutMs: CONNECT_TIMEOUT_MS, statementMsMax }),
      ...directCompress ? { directCompress: inspectDirectCompress } : {},
      log,
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
