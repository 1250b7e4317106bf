import assert from 'node:assert/strict'
import t from 'tap'
import * as fc from 'fast-check'
import { SatelliteRanks } from '../../../lib/drain/satellite-ranks.js'
import { satelliteIds } from '../../support/points/rows.js'

/** Ranks of one COPY that holds these ids. */
function ranksOf (ranks: SatelliteRanks, ids: readonly Buffer[]): number[] {
  ranks.begin(ids.length)
  const keys = new Uint32Array(ids.length + 5)
  ids.forEach((id, i) => {
    keys[i] = ranks.keyOf(
      Buffer.concat([Buffer.from('xx'), id, Buffer.from('y')]), 2, 2 + id.length)
  })
  ranks.toRanks(keys, ids.length)
  return [...keys.subarray(0, ids.length)]
}

t.test('ranks are in byte order, equal for equal ids, and no higher than the highest', (t) => {
  fc.assert(fc.property(fc.array(fc.array(satelliteIds, { maxLength: 20 }), { maxLength: 5 }), (copies) => {
    const ranks = new SatelliteRanks()
    const seen = new Set<string>()
    for (const copy of copies) {
      const ids = copy.map((id) => Buffer.from(id))
      const got = ranksOf(ranks, ids)
      for (const id of copy) seen.add(id)
      assert.equal(ranks.highest, seen.size)
      const order = [
        ...seen
      ].map((id) => Buffer.from(id)).sort((a, b) => Buffer.compare(a, b)).map((id) => id.toString('hex'))
      assert.deepEqual(got, ids.map((id) => order.indexOf(id.toString('hex')) + 1))
    }
  }))
  t.pass()
  t.end()
})

t.test('an id that is not valid has rank 0 and is not remembered', (t) => {
  const ranks = new SatelliteRanks()
  t.strictSame(ranksOf(ranks, ['', 'A', 'A\0', ' A', 'B'].map((id) => Buffer.from(id))), [0, 1, 0, 0, 2])
  t.strictSame(ranksOf(ranks, [Buffer.from([0xff]), Buffer.from('AB')]), [0, 2])
  t.equal(ranks.highest, 3)
  t.end()
})

t.test('forgets all when a COPY might bring more than it remembers, again and again', (t) => {
  const ranks = new SatelliteRanks()
  const ids = Array.from({ length: 120_000 }, (_, i) => Buffer.from(String(i).padStart(6, '0')))
  for (let turn = 0; turn < 3; turn++) {
    assert.deepEqual(ranksOf(ranks, ids), ids.map((_, i) => i + 1))
    t.equal(ranks.highest, 120_000)
    const others = ids.slice(0, 90_000).map((id) => Buffer.concat([Buffer.from('X'), id]))
    assert.deepEqual(ranksOf(ranks, others), others.map((_, i) => i + 1))
    t.equal(ranks.highest, 90_000, 'what was known before is gone')
  }
  t.end()
})

t.test('rows that were never ranked are forgotten with the rest', (t) => {
  const ranks = new SatelliteRanks()
  const ids = Array.from({ length: 120_000 }, (_, i) => Buffer.from(String(i).padStart(6, '0')))
  assert.deepEqual(ranksOf(ranks, ids), ids.map((_, i) => i + 1))
  // A COPY given up in the middle of its rows, as for a row with too many fields.
  ranks.begin(3)
  for (const text of ['X', 'Y', 'Z']) ranks.keyOf(Buffer.from(text), 0, 1)
  const others = Array.from({ length: 90_000 }, (_, i) => Buffer.from(`B${String(i).padStart(6, '0')}`))
  assert.deepEqual(ranksOf(ranks, others), others.map((_, i) => i + 1))
  t.equal(ranks.highest, 90_000)
  t.end()
})
