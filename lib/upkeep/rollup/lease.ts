/**
 * The lease for refilling buckets that received late rows: one server or command at a time. It expires, so that a
 * crashed holder does not block others for long. Taking it never waits.
 */
import { randomUUID } from 'node:crypto'
import type { Session } from '../../database/database.js'

/** Longer than a step, see fill.ts and rollups.ts; on plain PostgreSQL a row lock covers even the longest. */
const LEASE_MS = 60_000

export class FillLease {
  private readonly holder = randomUUID()

  /** Takes or renews it; false: another holder has it. None lasts longer than this if its clock was not set back. */
  async take (database: Session): Promise<boolean> {
    const { rowCount } = await database.query(`
      UPDATE public.rollup_filler
      SET holder = $1, expires_at = clock_timestamp() + $2::double precision * interval '1 ms'
      WHERE only_row = (
        SELECT only_row FROM public.rollup_filler
        WHERE holder = $1 OR expires_at < clock_timestamp()
          OR expires_at > clock_timestamp() + $2::double precision * interval '1 ms' FOR UPDATE SKIP LOCKED
      )`,
    [this.holder, LEASE_MS])
    return rowCount === 1
  }

  async giveBack (database: Session): Promise<void> {
    await database.query("UPDATE public.rollup_filler SET expires_at = '-infinity' WHERE holder = $1", [this.holder])
  }
}
