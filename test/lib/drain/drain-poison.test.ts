import t from 'tap'
import { Rig, rowOf, TIME, valueOf } from '../../support/journals/drain-rig.js'
import { noPartition, serverError } from '../../support/database/fake-database.js'
import type { PlainRow } from '../../support/points/rows.js'

t.test('refused rows are put aside with the reason, their neighbours stored, twice', async (t) => {
  const rig = new Rig()
  rig.server.refuses = (row) => valueOf(row) % 5 === 3 ? serverError('22021', `row ${valueOf(row)}`) : null
  const running = rig.drain.run()
  for (let turn = 0; turn < 2; turn++) {
    rig.append(4)
    await rig.append(4).settled
  }
  await rig.finish(running)
  rig.check(t)
  t.strictSame(rig.server.quarantined.map(({ reason }) => reason), ['row 3', 'row 8', 'row 13'])
  t.match(rig.messages[0], /quarantined_rows/)
  t.equal(rig.drain.retries, 0)
})

t.test('a run of nothing but refused rows', async (t) => {
  const rig = new Rig()
  rig.server.refuses = () => serverError('23505')
  rig.append(3)
  await rig.finish()
  rig.check(t)
  t.equal(rig.quarantined, 3)
})

t.test('a quarantine that takes no rows, as with a trigger on it: nothing is stored or forgotten', async (t) => {
  const rig = new Rig()
  rig.append(1)
  rig.server.refuses = (row) => valueOf(row) === 2 ? serverError('22021') : null
  const running = rig.drain.run()
  await rig.batches[0]!.settled
  rig.server.isClosed = true
  rig.append(3)
  await rig.server.reached('connect', 3)
  t.match(rig.drain.lastError, /quarantined_rows took 0 rows of 1: does a trigger or a rule .* leave rows out/)
  rig.server.isClosed = false
  await rig.finish(running)
  rig.check(t)
  t.equal(rig.quarantined, 1)
})

for (const effect of ['before', 'after'] as const) {
  t.test(`connection lost while refused rows are put aside, ${effect} each statement, twice`, async (t) => {
    for (const on of ['connect', 'BEGIN', 'COPY', 'ROLLBACK', 'INSERT INTO quarantined_rows', 'COMMIT'] as const) {
      for (let skip = 0; skip < 3; skip++) {
        const rig = new Rig()
        rig.server.refuses = (row) => valueOf(row) === 2 ? serverError('22021') : null
        for (let i = 0; i < 2; i++) rig.append(2)
        rig.fail(on, 2, { effect, skip })
        await rig.finish()
        rig.check(t)
        t.equal(rig.quarantined, 1, `${on} after ${skip}`)
      }
    }
  })
}

t.test('conservation holds at every statement, also while rows are put aside', async (t) => {
  const rig = new Rig(1)
  rig.server.refuses = (row) => valueOf(row) % 4 === 0 ? serverError('22021') : null
  let accepted = 0
  const sums: number[] = []
  const { log } = rig.server
  const push = log.push.bind(log)
  log.push = (line: string) => {
    // At a macrotask of its own, as a report is made.
    setImmediate(() => sums.push(accepted - rig.stored - rig.quarantined - rig.journal.backlog().rows))
    return push(line)
  }
  rig.fail('COMMIT', 2, { effect: 'after', skip: 1 })
  for (let i = 0; i < 4; i++) accepted += rig.append(3).rows
  await rig.finish()
  rig.check(t)
  t.strictSame([...new Set(sums)], [0])
})

t.test('a missing partition is made for the times of the run, and the rows are stored', async (t) => {
  const rig = new Rig()
  rig.server.refuses = () => rig.server.partitions.length > 0 ? null : noPartition()
  rig.append(3)
  await rig.finish()
  rig.check(t)
  t.strictSame(rig.server.partitions, [[Number(TIME / 1000n) / 1000]])
  t.equal(rig.quarantined, 0)
  t.equal(rig.server.count('INSERT INTO quarantined_rows'), 0)
})

t.test('another check violation makes no partition', async (t) => {
  const rig = new Rig()
  const refusal = Object.assign(serverError('23514', 'no partition of "sane"'), { routine: 'ExecConstraints' })
  rig.server.refuses = () => refusal
  rig.append(1)
  await rig.finish()
  t.strictSame(rig.server.partitions, [])
  t.equal(rig.server.quarantined.length, 1)
})

t.test('making the partition fails twice: tried again', async (t) => {
  const rig = new Rig()
  rig.server.refuses = () => rig.server.partitions.length > 0 ? null : noPartition()
  rig.append(3)
  rig.fail('SELECT public.orbitstream_make_partitions', 2)
  await rig.finish()
  rig.check(t)
  t.equal(rig.drain.retries, 2)
})

t.test('a time that no partition can hold does not keep its neighbours from theirs', async (t) => {
  const rig = new Rig()
  const wild: PlainRow = { ...rowOf(1), timeMicros: 2n ** 63n - 1n }
  rig.server.refuses = (row) => rig.server.partitions.length > 0 && row.timeMicros === TIME ? null : noPartition()
  rig.append(3)
  rig.appendRows([wild])
  await rig.finish()
  rig.check(t)
  t.strictSame(rig.server.partitions, [[Number(TIME / 1000n) / 1000]])
  t.equal(rig.server.quarantined.length, 1)
  t.equal(rig.drain.retries, 0)
})

t.test('a row that lacks only its partition is stored also beside one that is refused for itself', async (t) => {
  const rig = new Rig()
  rig.server.refuses = (row) => {
    if (valueOf(row) === 1) return serverError('22021')
    return valueOf(row) === 2 && rig.server.partitions.length === 0 ? noPartition() : null
  }
  rig.append(4)
  await rig.finish()
  t.equal(rig.server.partitions.length, 1)
  t.strictSame(rig.server.rows.map(valueOf).sort(), [0, 2, 3])
  t.match(rig.server.quarantined, [{ sqlState: '22021' }])
  rig.check(t)
})
