import { Writable } from 'node:stream'
import t from 'tap'
import { Reconciliation } from '../../../../lib/primary/counts/reconciliation.js'
import { createLogger } from '../../../../lib/support/log.js'
import { pointsOf, reportOf } from '../../../support/programs/slots.js'

t.test('logs once when counters stop adding up, and once when they do again', (t) => {
  const lines: string[] = []
  const destination = new Writable({
    write (chunk: Buffer, _encoding, done) {
      lines.push((JSON.parse(chunk.toString()) as { level: string }).level)
      done()
    }
  })
  const conservation = new Reconciliation(createLogger({ level: 'info', name: 'test', pretty: false, destination }))
  const taken = { received: 10, accepted: 8, rejected: 1, shed: 1, recovered: 5 }
  const good = pointsOf({ ...taken, committed: 6, quarantined: 1, failed: 1 })
  conservation.check(reportOf({ points: good, waiting: 5 }))
  t.equal(conservation.errorPoints, 0)
  conservation.check(reportOf({ points: good, waiting: 3 }))
  conservation.check(reportOf({ points: good, waiting: 4, slot: 1 }))
  conservation.check(reportOf({ points: good, waiting: 3 }))
  t.equal(conservation.errorPoints, 3, 'for both workers')
  conservation.check(reportOf({ points: good, waiting: 5 }))
  t.equal(conservation.errorPoints, 1)
  t.strictSame(lines, ['error', 'error', 'info'])
  t.end()
})
