/** The widths of an export's slices, with a server on which wide ranges take too long to count. */
import t from 'tap'
import { BUILT_IN } from '../../../protocol/catalogue.js'
import { DatabaseError } from 'pg'
import type { DatabaseConnection } from '../../../lib/database/database.js'
import { exportRows } from '../../../lib/queries/export-slices.js'

const DAY_MICROS = 86_400e6
const COUNTABLE_MICROS = 1_000e6

t.test('few counts of a sparse satellite take too long', async (t) => {
  let counted = 0
  let cancelled = 0
  const db = {
    alive: true,
    query: async (text: string) => {
      const [, from, to] = /"time" >= '(.*?)' AND .*? < '(.*?)'/.exec(text) ?? []
      if (from === undefined || to === undefined) return { rows: [], rowCount: 0 }
      counted++
      if ((Date.parse(to) - Date.parse(from)) * 1_000 <= COUNTABLE_MICROS) return { rows: [{ count: 0 }], rowCount: 1 }
      cancelled++
      throw await Promise.resolve(Object.assign(new DatabaseError('canceled', 0, 'error'), { code: '57014' }))
    }
  } as unknown as DatabaseConnection
  const filter = { satellite: 'RARE', stream: BUILT_IN.telemetry, metrics: [], fromMicros: 0, toMicros: DAY_MICROS }
  for await (const chunk of exportRows(db, filter, 'csv')) t.fail(chunk.toString())
  t.ok(cancelled < counted / 8, `${cancelled} of ${counted}`)
  t.ok(counted < 3 * DAY_MICROS / COUNTABLE_MICROS, `${counted} slices`)
})
