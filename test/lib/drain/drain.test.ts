import t from 'tap'
import { Batch, EPOCH, RecordedBackoff, Rig, rowOf } from '../../support/journals/drain-rig.js'
import { connectionLost, serverError, texts } from '../../support/database/fake-database.js'
import { makeDirectory, openTestSpool } from '../spool/support.js'

t.test('stores what is there and what comes, and ends when the journal does', async (t) => {
  const rig = new Rig()
  t.equal(rig.drain.state, 'connecting')
  rig.append()
  const running = rig.drain.run()
  await rig.batches[0]!.settled
  t.equal(rig.drain.state, 'ready')
  await rig.append(5).settled
  await rig.finish(running)
  rig.check(t)
  t.match(rig.server.ledger, { epoch: EPOCH, sequence: 2 })
  t.equal(rig.server.connections.length, 1)
  t.equal(rig.server.connections[0]?.closedPolitely, true)
  t.equal(rig.drain.retries, 0)
  t.strictSame(rig.lines, [])
})

t.test('takes all that waits as one transaction, within the bound', async (t) => {
  const whole = new Rig()
  for (let i = 0; i < 3; i++) whole.append(2)
  await whole.finish()
  t.strictSame(whole.server.log.filter((line) => line.startsWith('COPY')), ['COPY 6'])
  const bounded = new Rig(1)
  for (let i = 0; i < 3; i++) bounded.append(2)
  await bounded.finish()
  t.strictSame(bounded.server.log.filter((line) => line.startsWith('COPY')), ['COPY 2', 'COPY 2', 'COPY 2'])
  bounded.check(t)
})

t.test('the ledger comes before COPY, and is entered when it has no row', async (t) => {
  const rig = new Rig()
  rig.append()
  await rig.finish()
  const transaction = ['BEGIN', 'UPDATE ingest_ledger', 'COPY 2', 'COMMIT']
  t.strictSame(rig.server.log, ['connect', 'SELECT epoch', 'INSERT INTO ingest_ledger', ...transaction])
})

t.test('an earlier life of the slot: goes on from its row', async (t) => {
  const rig = new Rig()
  rig.server.ledger = { epoch: EPOCH - 2, sequence: 77, epochId: null }
  rig.append()
  await rig.finish()
  rig.check(t)
  t.match(rig.server.ledger, { epoch: EPOCH, sequence: 1 })
  t.equal(rig.server.count('INSERT INTO ingest_ledger'), 0)
})

t.test('no connection: waits, tries again, says so once', async (t) => {
  const rig = new Rig()
  rig.append()
  rig.fail('connect', 4, { error: connectionLost })
  const running = rig.drain.run()
  await rig.server.reached('connect', 3)
  t.equal(rig.drain.state, 'retrying')
  t.match(rig.drain.lastError, /cannot be reached/)
  await rig.finish(running)
  rig.check(t)
  t.equal(rig.drain.retries, 4)
  t.equal(rig.backoff.calls.slice(0, 4).join(), 'wait,wait,wait,wait')
  t.equal(rig.messages.length, 2)
  t.match(rig.messages, [/writes are failing/, /is back/])
})

const STATEMENTS = [
  'SELECT epoch', 'INSERT INTO ingest_ledger', 'BEGIN', 'UPDATE ingest_ledger', 'COPY', 'COMMIT'
] as const
for (const on of STATEMENTS) {
  for (const effect of ['before', 'after'] as const) {
    t.test(`connection lost at ${on}, ${effect} it is carried out, three times in a row`, async (t) => {
      const rig = new Rig()
      for (let i = 0; i < 3; i++) rig.append()
      rig.fail(on, 3, { effect })
      const running = rig.drain.run()
      await rig.batches[2]!.settled
      await rig.append().settled
      await rig.finish(running)
      rig.check(t)
      t.ok(rig.drain.retries >= 1)
      t.match(rig.messages, [/writes are failing/, /is back/])
    })
  }
}

t.test('COMMIT whose answer is lost: counted and told once, each of many times', async (t) => {
  const rig = new Rig(1)
  for (let i = 0; i < 5; i++) rig.append(i + 1)
  rig.fail('COMMIT', 5, { effect: 'after' })
  await rig.finish()
  rig.check(t)
  t.equal(rig.commits, 5)
  t.equal(rig.server.count('COPY'), 5, 'nothing is sent twice')
})

t.test('a database that connects and takes nothing: one line, and the waits grow', async (t) => {
  const rig = new Rig()
  rig.append()
  rig.fail('COPY', 6, { error: () => serverError('53100', 'disk full') })
  const running = rig.drain.run()
  await rig.server.reached('BEGIN', 4)
  t.equal(rig.drain.state, 'retrying')
  t.equal(rig.drain.lastError, 'disk full')
  await rig.finish(running)
  rig.check(t)
  t.equal(rig.drain.retries, 6)
  t.equal(rig.backoff.calls.slice(0, 6).join(), 'wait,wait,wait,wait,wait,wait', 'no reset before a COMMIT')
  t.match(rig.messages, [/writes are failing/, /is back/])
  t.equal(rig.messages.length, 2)
})

t.test('statements that take too long get more time, up to a bound, until one is stored', async (t) => {
  const rig = new Rig()
  rig.fail('COMMIT', 6, { error: () => serverError('57014') })
  rig.append()
  const running = rig.drain.run()
  await rig.batches[0]!.settled
  rig.fail('COMMIT', 1)
  rig.append()
  await rig.finish(running)
  t.strictSame(rig.statementMsMax.map((ms) => ms / 1000), [60, 120, 240, 480, 960, 960, 960, 60])
  rig.check(t)
})

t.test('after an outage with nothing to store it is well again at once', async (t) => {
  const rig = new Rig()
  rig.fail('connect', 2, { error: connectionLost })
  const running = rig.drain.run()
  await rig.server.reached('INSERT INTO ingest_ledger')
  for (let turn = 0; turn < 3; turn++) await new Promise((resolve) => setImmediate(resolve))
  t.equal(rig.drain.state, 'ready')
  t.equal(rig.drain.lastError, null)
  await rig.finish(running)
})

t.test('COPY that takes another number of rows is not committed', async (t) => {
  const rig = new Rig()
  rig.append(3)
  rig.server.miscounts = 2
  const running = rig.drain.run()
  await rig.server.reached('COPY', 2)
  t.match(rig.drain.lastError, /COPY into telemetry took 2 rows of 3: does a trigger/)
  await rig.finish(running)
  rig.check(t)
  t.equal(rig.drain.retries, 2)
})

t.test('a ledger that moved under the transaction is read again', async (t) => {
  const rig = new Rig(1)
  for (let i = 0; i < 2; i++) rig.append()
  // The zombie of an earlier try commits the first frame between the read and the compare-and-set, then the second.
  const moves = [1, 2]
  const { log } = rig.server
  const push = log.push.bind(log)
  log.push = (line: string) => {
    const sequence = line === 'BEGIN' ? moves.shift() : undefined
    if (sequence !== undefined) {
      rig.server.ledger = { epoch: EPOCH, sequence, epochId: null }
      rig.server.rows.push(...rig.batches[sequence - 1]!.points)
    }
    return push(line)
  }
  await rig.finish()
  t.strictSame(texts(rig.server.rows), texts(rig.batches.flatMap(({ points }) => points)))
  t.strictSame(rig.batches.map(({ told }) => told), [[null], [null]])
  t.equal(rig.stored, 4)
  t.equal(rig.server.count('ROLLBACK'), 2)
  t.equal(rig.server.count('COMMIT'), 0, 'rows that went along with the transaction are taken back')
})

t.test('a ledger that nothing moves, as with a trigger on it: says so, and waits before each attempt', async (t) => {
  const rig = new Rig()
  rig.append()
  rig.server.isStuck = true
  const running = rig.drain.run()
  await rig.server.reached('ROLLBACK', 3)
  t.equal(rig.drain.state, 'retrying')
  t.match(rig.drain.lastError, /the row of test\/0 in ingest_ledger cannot be moved/)
  t.equal(rig.backoff.calls.join(), 'wait,wait')
  rig.server.isStuck = false
  await rig.finish(running)
  rig.check(t)
  t.match(rig.messages, [/writes are failing/, /is back/])
})

t.test('a ledger that takes no row, as with a rule on it: says so and tries again, and loses no trust', async (t) => {
  const { spool } = await openTestSpool(t, { directory: await makeDirectory(t) })
  const rig = new Rig(undefined, undefined, undefined, { journal: spool })
  rig.server.isClosed = true
  const batch = new Batch([rowOf(1)])
  spool.append(batch)
  await batch.settled
  const running = rig.drain.run()
  await rig.server.reached('connect', 3)
  t.equal(rig.drain.state, 'retrying')
  t.match(rig.drain.lastError, /the row of \w+ in ingest_ledger cannot be inserted/)
  rig.server.isClosed = false
  spool.end()
  await running
  t.equal(rig.server.rows.length, 1)
})

t.test('a ledger that does not fit: halted for good, nothing written', async (t) => {
  const rig = new Rig()
  rig.server.ledger = { epoch: EPOCH, sequence: 9, epochId: null }
  const batch = rig.append()
  await rig.drain.run()
  t.equal(rig.drain.state, 'halted')
  t.match(rig.drain.lastError, /Another process uses the same DATA_DIR/)
  t.match(rig.messages, [/Another process uses the same DATA_DIR/])
  t.strictSame(batch.told, [])
  t.equal(rig.server.count('BEGIN'), 0)
  t.equal(rig.server.open, 0)
})

t.test('the database was exchanged during an outage: halted', async (t) => {
  const rig = new Rig()
  const running = rig.drain.run()
  await rig.append().settled
  rig.server.ledger = null
  rig.fail('BEGIN', 1)
  const batch = rig.append()
  await running
  t.equal(rig.drain.state, 'halted')
  t.match(rig.drain.lastError, /has no row/)
  t.strictSame(batch.told, [])
  t.equal(rig.stored, 2)
})

t.test('a ledger that does not fit is read again if the drain waits for it: an old primary was back', async (t) => {
  const rig = new Rig(undefined, undefined, undefined, { waitsForLedger: true })
  const running = rig.drain.run()
  await rig.append().settled
  const { ledger } = rig.server
  rig.server.ledger = { ...ledger!, sequence: 0 }
  rig.server.connections[0]?.lose()
  const batch = rig.append()
  await rig.server.reached('SELECT epoch', 4)
  t.equal(rig.drain.state, 'halted')
  rig.fail('connect', 2, { error: connectionLost })
  await rig.server.reached('connect', rig.server.count('connect') + 3)
  t.equal(rig.drain.state, 'halted', 'also if it cannot be read')
  t.match(rig.drain.lastError, /though frame 1 was committed/)
  t.strictSame(batch.told, [])
  t.equal(rig.server.count('COPY'), 1)
  rig.server.ledger = ledger
  await batch.settled
  await rig.finish(running)
  rig.check(t)
  t.match(rig.messages, [/writes are failing/, /though frame 1 was committed/, /fits again/, /is back/])
  t.equal(rig.messages.length, 4)
})

t.test('a ledger that does not fit holds up no shutdown', async (t) => {
  for (const isEarly of [true, false]) {
    const rig = new Rig(undefined, new RecordedBackoff(3_600_000), undefined, { waitsForLedger: true })
    rig.server.ledger = { epoch: EPOCH, sequence: 9, epochId: null }
    if (isEarly) rig.drain.finish()
    const running = rig.drain.run()
    while (rig.backoff.calls.length === (isEarly ? -1 : 0)) await new Promise((resolve) => setImmediate(resolve))
    rig.drain.finish()
    await running
    t.equal(rig.drain.state, 'halted')
    t.ok(rig.drain.through)
  }
})
