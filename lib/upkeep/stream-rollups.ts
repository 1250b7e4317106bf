/** Keeps the rollups of all streams up to date, one stream after another over one connection. */
import { TELEMETRY } from '../../protocol/catalogue.js'
import type { Database } from '../database/database.js'
import { inStream, streamSql } from '../database/stream-tables.js'
import type { StoreLog } from '../support/store-log.js'
import { RollUp, type RollUpOptions, type RollupStatus } from './rollups.js'

export class StreamRollUps {
  private readonly keepers: ReadonlyArray<{ readonly stream: string, readonly rollUp: RollUp }>
  /** Whose turn is first: a backlog of one stream takes long, and the others must not always wait for it. */
  private first = 0

  constructor (streams: readonly string[], { log, ...options }: RollUpOptions = {}) {
    this.keepers = streams.map((stream) => ({
      stream, rollUp: new RollUp({ ...options, ...log === undefined ? {} : { log: logOf(log, stream) } })
    }))
  }

  /** Of all streams together. */
  get status (): RollupStatus {
    const each = this.keepers.map(({ stream, rollUp: { status } }) => ({ stream, ...status }))
    const known = each.flatMap(({ waitingMinutes }) => waitingMinutes ?? [])
    const lefts = each.map(({ remainingSeconds }) => remainingSeconds)
    const failed = each.find(({ failure }) => failure !== null)
    return {
      waitingMinutes: known.length === 0 ? null : known.reduce((sum, minutes) => sum + minutes, 0),
      remainingSeconds: lefts.some((left) => left === null) ? null : Math.max(...lefts.map((left) => left ?? 0)),
      failedBuckets: each.reduce((sum, { failedBuckets }) => sum + failedBuckets, 0),
      failure: failed === undefined ? null : inWords(failed.stream, String(failed.failure)),
      overdue: each.flatMap(({ stream, overdue }) =>
        overdue.map(({ view, seconds }) => ({ view: streamSql(view, stream), seconds })))
    }
  }

  /** Rolls up what is due. Throws the first failure once every stream has had its turn. */
  async run (database: Database): Promise<void> {
    const { keepers } = this
    const failures: unknown[] = []
    const start = this.first++ % keepers.length
    for (const { stream, rollUp } of [...keepers.slice(start), ...keepers.slice(0, start)]) {
      try {
        await rollUp.run(inStream(database, stream))
      } catch (error) {
        if (!database.alive) throw error
        failures.push(error)
      }
    }
    if (failures.length > 0) throw failures[0]
  }
}

function logOf (log: StoreLog, stream: string): StoreLog {
  if (stream === TELEMETRY) return log
  return {
    info: (fields, message) => { log.info({ stream, ...fields }, message) },
    warn: (fields, message) => { log.warn({ stream, ...fields }, message) },
    error: (fields, message) => { log.error({ stream, ...fields }, message) }
  }
}

function inWords (stream: string, failure: string): string {
  return stream === TELEMETRY ? failure : `${stream}: ${failure}`
}
