/**
 * Summarises new pages of the BRIN indexes of points: every query reads the pages that are not summarised. The index on
 * time alone is small, and finds the newest points: with it, queries for those read little else.
 */
import { sqlState } from '../database/connection.js'
import type { Database } from '../database/database.js'
import { INSUFFICIENT_PRIVILEGE, LOCK_NOT_AVAILABLE, UNDEFINED_TABLE } from '../database/sqlstates.js'

/** Less than deadlock_timeout (1 s), after which a waiter cancels an autovacuum. */
const SUMMARY_LOCK_TIMEOUT = '500ms'

export class Summaries {
  /** By index: how much was in its partition when it was last summarised. */
  private readonly summarised = new Map<string, string>()

  constructor (private readonly streams: readonly string[], private readonly which: 'time' | 'satellites') {}

  /**
   * Only where rows were added since the last time: each call reads the whole revmap of the index. A partition that
   * belongs to another role keeps none of the others from it: rejects at the end.
   */
  async run (database: Database): Promise<void> {
    const refusals: unknown[] = []
    const { rows } = await database.query<{ index: string, filled: string }>(
      INDEXES, [this.streams, this.which === 'time'])
    for (const { index, filled } of rows) {
      if (this.summarised.get(index) === filled) continue
      try {
        if (await summariseIndex(database, index)) this.summarised.set(index, filled)
      } catch (error) {
        if (sqlState(error) !== INSUFFICIENT_PRIVILEGE) throw error
        refusals.push(error)
      }
    }
    const present = new Set(rows.map(row => row.index))
    for (const index of this.summarised.keys()) {
      if (!present.has(index)) this.summarised.delete(index)
    }
    if (refusals.length > 0) throw refusals[0]
  }
}

/** False: another session has locked the table, or dropped it; retried with the next run if it is still there. */
async function summariseIndex (database: Database, index: string): Promise<boolean> {
  try {
    // The setting is evaluated first, and ends with this statement.
    await database.query(
      "SELECT set_config('lock_timeout', $2, true), brin_summarize_new_values($1::regclass)",
      [index, SUMMARY_LOCK_TIMEOUT])
    return true
  } catch (error) {
    if ([LOCK_NOT_AVAILABLE, UNDEFINED_TABLE].includes(sqlState(error) ?? '')) return false
    throw error
  }
}

/**
 * BRIN indexes of non-empty partitions or chunks, newest first, except those being vacuumed; and how many rows were
 * ever inserted there, or its size on a server that does not count them (track_counts). $2: on time alone.
 */
const INDEXES = `
  SELECT index, filled::text FROM (
    SELECT i.indexrelid::regclass::text AS index, h.inhrelid AS partition,
           CASE WHEN current_setting('track_counts')::boolean THEN pg_stat_get_tuples_inserted(h.inhrelid)
             ELSE pg_relation_size(h.inhrelid) END AS filled
    FROM pg_inherits h
    JOIN pg_index i ON i.indrelid = h.inhrelid
    JOIN pg_class c ON c.oid = i.indexrelid
    JOIN pg_am a ON a.oid = c.relam
    WHERE h.inhparent = ANY (SELECT ('public.' || name)::regclass FROM unnest($1::text[]) name)
      AND a.amname = 'brin' AND (i.indnatts = 1) = $2
      AND NOT EXISTS (SELECT FROM pg_stat_progress_vacuum v WHERE v.relid = h.inhrelid)
  ) found
  WHERE filled > 0 ORDER BY partition DESC`
