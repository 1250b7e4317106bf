/**
 * Serializes the use of a connection and accounts for it: seconds in statements by purpose. With a single session this
 * is its utilization; running statements cannot be interrupted.
 */
import type { Database } from '../../lib/database/database.js'
import type { ByProcess } from '../result.js'

export interface Taken {
  /** Wall-clock time. */
  readonly busySeconds: ByProcess
  /** CPU time of this process, which includes statements if the database runs in it. */
  readonly cpuSeconds: ByProcess
}

export class Turns {
  private last: Promise<unknown> = Promise.resolve()
  private readonly busy: Record<string, number> = {}
  private readonly cpu: Record<string, number> = {}

  constructor (readonly database: Database) {}

  /** Waits for its turn; the connection is exclusive until the work is done. @param purpose for accounting */
  take<T> (purpose: string, work: (database: Database) => Promise<T>): Promise<T> {
    const turn = this.last.then(() => this.count(purpose, work))
    this.last = turn.catch(() => undefined)
    return turn
  }

  /** So far. */
  taken (): Taken {
    return { busySeconds: { ...this.busy }, cpuSeconds: { ...this.cpu } }
  }

  private async count<T> (purpose: string, work: (database: Database) => Promise<T>): Promise<T> {
    const startMs = performance.now()
    const before = process.cpuUsage()
    try {
      return await work(this.database)
    } finally {
      const { user, system } = process.cpuUsage(before)
      this.busy[purpose] = (this.busy[purpose] ?? 0) + (performance.now() - startMs) / 1000
      this.cpu[purpose] = (this.cpu[purpose] ?? 0) + (user + system) / 1e6
    }
  }
}

/** Usage between two moments. */
export function takenBetween (before: Taken, after: Taken): Taken {
  return {
    busySeconds: difference(before.busySeconds, after.busySeconds),
    cpuSeconds: difference(before.cpuSeconds, after.cpuSeconds)
  }
}

function difference (before: ByProcess, after: ByProcess): ByProcess {
  return Object.fromEntries(Object.entries(after)
    .map(([purpose, seconds]) => [purpose, seconds - (before[purpose] ?? 0)]))
}

/** A connection whose statements each take a turn. Closing it does not affect the underlying one. */
export function sharedConnection (turns: Turns, purpose: string): Database {
  const shared = {
    alive: true,
    backendPid: turns.database.backendPid,
    onLost: () => undefined,
    query: (text, values) => turns.take(purpose, (database) => database.query(text, values)),
    copyAfter: (statements, sql, chunks) =>
      turns.take(purpose, (database) => database.copyAfter(statements, sql, chunks)),
    close: async () => {
      shared.destroy()
      await Promise.resolve()
    },
    destroy: () => { Object.assign(shared, { alive: false }) }
  } as Database
  return shared
}
