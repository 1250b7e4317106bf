/** Whether a server lacks what was committed because it was promoted before it had all of it. */
import { isUnanswered } from '../database/connection.js'
import type { Database } from '../database/database.js'
import { readTimeline } from '../database/timeline.js'
import type { LedgerFault, LedgerPosition } from '../journal/journal.js'
import type { Log } from '../support/log.js'

/** See DrainOptions. */
export type FindLostCommits = (db: Database, position: LedgerPosition) => Promise<boolean>

export class Promotion {
  /** Of the server that was used last. */
  private timeline: number | null = null

  /** @param find undefined: nothing is ever found */
  constructor (private readonly find: FindLostCommits | undefined, private readonly log: Log) {}

  /** Its ledger fits: it is the server that is used. */
  async use (db: Database): Promise<void> {
    if (this.find !== undefined) this.timeline = await readTimeline(db)
  }

  /** An old primary that came back lacks commits, too, but its timeline is not newer: nothing must be stored there. */
  async isPromoted (db: Database): Promise<boolean> {
    const { timeline } = this
    if (timeline === null) return false
    const now = await readTimeline(db)
    return now !== null && now > timeline
  }

  async hasLostCommits (db: Database, fault: LedgerFault, position: LedgerPosition | null): Promise<boolean> {
    if (fault.kind !== 'ledger_behind' || position === null || this.find === undefined) return false
    if (!await this.isPromoted(db)) return false
    try {
      return await this.find(db, position)
    } catch (error) {
      if (!db.alive || isUnanswered(error)) throw error
      // For instance: the role may not create temporary tables. Then a person decides, as for any other fault.
      this.log.error({ err: error }, 'could not find out whether the database has the frames on disk')
      return false
    }
  }
}
