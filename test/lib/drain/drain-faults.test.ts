import assert from 'node:assert/strict'
import t from 'tap'
import * as fc from 'fast-check'
import { Rig, valueOf } from '../../support/journals/drain-rig.js'
import { serverError, texts, type StatementKind } from '../../support/database/fake-database.js'

const STATEMENTS: readonly StatementKind[] = [
  'connect', 'SELECT epoch', 'INSERT INTO ingest_ledger', 'BEGIN', 'UPDATE ingest_ledger', 'COPY',
  'INSERT INTO quarantined_rows', 'COMMIT', 'ROLLBACK'
]
const faults = fc.array(fc.record({
  on: fc.constantFrom(...STATEMENTS),
  times: fc.integer({ min: 1, max: 2 }),
  skip: fc.nat({ max: 4 }),
  effect: fc.constantFrom('before' as const, 'after' as const)
}), { maxLength: 6 })

t.test('whatever fails: each point is stored or quarantined once, answered once, counted once', async (t) => {
  const batchRows = fc.array(fc.integer({ min: 1, max: 5 }), { minLength: 1, maxLength: 6 })
  await fc.assert(fc.asyncProperty(faults, batchRows, fc.integer({ min: 0, max: 8 }), fc.integer({ min: 1, max: 600 }),
    async (list, batches, poison, copyBytesMax) => {
      const rig = new Rig(copyBytesMax)
      rig.server.refuses = (row) => valueOf(row) % 9 === poison ? serverError('22021') : null
      rig.server.faults.push(...list.map((fault) => ({ ...fault })))
      const running = rig.drain.run()
      for (const rows of batches) {
        rig.append(rows)
        await new Promise((resolve) => setImmediate(resolve))
      }
      await rig.finish(running)
      const points = rig.batches.flatMap((batch) => batch.points)
      assert.deepEqual(texts(rig.server.rows), texts(points.filter((row) => rig.server.refuses(row) === null)))
      assert.equal(rig.server.quarantined.length, points.filter((row) => rig.server.refuses(row) !== null).length)
      assert.ok(rig.batches.every(({ told }) => told.length === 1 && told[0] === null))
      assert.equal(rig.stored, rig.server.rows.length)
      assert.equal(rig.quarantined, rig.server.quarantined.length)
      assert.equal(rig.server.open, 0)
    }), { numRuns: 150 })
  t.pass()
})
