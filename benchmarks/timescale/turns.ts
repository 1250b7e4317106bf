/**
 * Who uses a connection, one after another, and for how long: seconds in statements by what they are for. Where there is
 * one session for everything, that is how much of it is taken; what takes it cannot be cut into.
 */
import type { Database } from '../../lib/database/connection.js'
import type { ByProcess } from '../result.js'

export interface Taken {
  /** On the clock. */
  readonly busySeconds: ByProcess
  /** Processor time of this process: of statements too, where the database is in it. */
  readonly cpuSeconds: ByProcess
}

export class Turns {
  private last: Promise<unknown> = Promise.resolve()
  private readonly busy: Record<string, number> = {}
  private readonly cpu: Record<string, number> = {}

  constructor (readonly database: Database) {}

  /** Waits for its turn; nobody else uses the connection until the work is done. @param purpose what its time is counted under */
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

/** What was taken between two moments. */
export function takenBetween (before: Taken, after: Taken): Taken {
  return { busySeconds: difference(before.busySeconds, after.busySeconds), cpuSeconds: difference(before.cpuSeconds, after.cpuSeconds) }
}

function difference (before: ByProcess, after: ByProcess): ByProcess {
  return Object.fromEntries(Object.entries(after).map(([purpose, seconds]) => [purpose, seconds - (before[purpose] ?? 0)]))
}

/** A connection whose statements each take a turn. Closing it leaves the one below as it is. */
export function sharedConnection (turns: Turns, purpose: string): Database {
  const shared = {
    alive: true,
    backendPid: turns.database.backendPid,
    onLost: () => undefined,
    query: (text, values) => turns.take(purpose, (database) => database.query(text, values)),
    copyIn: (sql, chunks) => turns.take(purpose, (database) => database.copyIn(sql, chunks)),
    copyAfter: (statements, sql, chunks) => turns.take(purpose, (database) => database.copyAfter(statements, sql, chunks)),
    close: async () => {
      shared.destroy()
      await Promise.resolve()
    },
    destroy: () => { Object.assign(shared, { alive: false }) }
  } as Database
  return shared
}
