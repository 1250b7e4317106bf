/** The widths of an export's slices, and how they give way, with a server that is made up. */
import t from 'tap'
import { setTimeout as wait } from 'node:timers/promises'
import { BUILT_IN } from '../../../protocol/catalogue.js'
import { DatabaseError } from 'pg'
import type { DatabaseConnection } from '../../../lib/database/database.js'
import { exportRows } from '../../../lib/queries/export-slices.js'

const DAY_MICROS = 86_400e6
/** Of an export that runs alone. */
const PAUSE_MS_MAX = 240
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

/** @param limits counts how many rows a slice may have */
function evenDatabase (limits: Set<string>, copyOut: () => AsyncIterable<Buffer>): DatabaseConnection {
  const query = async (text: string): Promise<object> => {
    const [, limit] = /LIMIT (\d+)/.exec(text) ?? []
    if (limit !== undefined) limits.add(limit)
    return await Promise.resolve({ rows: [{ count: 1 }], rowCount: 1 })
  }
  return { alive: true, query, copyOut } as unknown as DatabaseConnection
}

const TEN_MINUTES = {
  satellite: null, stream: BUILT_IN.telemetry, metrics: BUILT_IN.telemetry.metrics, fromMicros: 0, toMicros: 600e6
}

t.test('beside points slices are smaller, and an export takes its share of the time', async (t) => {
  const limits = new Set<string>()
  let leastMs = 0
  const db = evenDatabase(limits, async function * () {
    const startMs = performance.now()
    await wait(10)
    const tookMs = performance.now() - startMs
    // Timers are rounded to a millisecond.
    leastMs += tookMs + Math.min(tookMs * 2.5, PAUSE_MS_MAX)
    yield Buffer.alloc(1)
  })
  const pace = { share: 1 }
  for await (const piece of exportRows(db, TEN_MINUTES, 'csv', pace)) t.equal(piece.length, 1)
  const startMs = performance.now()
  leastMs = 0
  pace.share = 1 / 4
  for await (const piece of exportRows(db, TEN_MINUTES, 'csv', pace)) t.equal(piece.length, 1)
  t.ok(performance.now() - startMs >= leastMs, 'three quarters are left to others')
  t.strictSame([...limits], ['40001', '10001'])
})

t.test('pieces come one a turn of the event loop', async (t) => {
  const pieces = 10
  const db = evenDatabase(new Set(), async function * () {
    for (let piece = 0; piece < pieces; piece++) yield await Promise.resolve(Buffer.alloc(1))
  })
  let turns = 0
  let turn = setImmediate(function next () {
    turns++
    turn = setImmediate(next)
  })
  for await (const piece of exportRows(db, { ...TEN_MINUTES, toMicros: 60e6 }, 'csv')) t.equal(piece.length, 1)
  clearImmediate(turn)
  t.ok(turns >= pieces - 1, `${turns} turns`)
})
