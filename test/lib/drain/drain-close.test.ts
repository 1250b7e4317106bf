import t, { type Test } from 'tap'
import { RecordedBackoff, Rig, valueOf } from '../../support/journals/drain-rig.js'
import { connectionLost, serverError, type StatementKind } from '../../support/database/fake-database.js'

/** Closes the drain once `kind` has come in; the statement hangs until its connection is cut. */
async function closeAt (
  t: Test, kind: StatementKind, rows: number, prepare: (rig: Rig) => void = () => {}
): Promise<Rig> {
  const rig = new Rig()
  if (rows > 0) rig.append(rows)
  prepare(rig)
  const running = rig.drain.run()
  await rig.server.reached(kind)
  rig.drain.close()
  rig.drain.close()
  const { length } = rig.server.log
  await running
  t.ok(rig.server.log.length <= length + 1, `${kind}: nothing more is asked of the database`)
  t.equal(rig.server.open, 0, `${kind}: no connection is left open`)
  t.equal(rig.stored, 0)
  return rig
}

t.test('close in each state ends the run and cuts the connection', async (t) => {
  const kinds = [
    'SELECT epoch', 'INSERT INTO ingest_ledger', 'BEGIN', 'UPDATE ingest_ledger', 'COPY', 'COMMIT'
  ] as const
  for (const kind of kinds) {
    await closeAt(t, kind, 2, (rig) => rig.fail(kind, 1, { effect: 'hang' }))
  }
})

t.test('close while it connects', async (t) => {
  const rig = await closeAt(t, 'connect', 2)
  t.equal(rig.server.count('SELECT epoch'), 0)
})

t.test('close while a server does not answer: ends, and closes what may still be opened', async (t) => {
  let open: () => void = () => {}
  const opened = new Promise<void>((resolve) => { open = resolve })
  const rig: Rig = new Rig(undefined, undefined, undefined, {
    connect: async () => {
      await opened
      return await rig.server.connect()
    }
  })
  const running = rig.drain.run()
  rig.drain.close()
  await running
  open()
  const { connections } = rig.server
  while (connections.length === 0 || rig.server.open > 0) await new Promise((resolve) => setImmediate(resolve))
  t.equal(rig.server.count('SELECT epoch'), 0)
})

t.test('close while it waits to try again', async (t) => {
  const backoff = new RecordedBackoff(3_600_000)
  const rig = new Rig(1000, backoff)
  rig.fail('connect', 1, { error: connectionLost })
  const running = rig.drain.run()
  await rig.server.reached('connect')
  while (backoff.calls.length === 0) await new Promise((resolve) => setImmediate(resolve))
  rig.drain.close()
  await running
  t.equal(rig.server.count('connect'), 1)
})

t.test('close while refused rows are looked for', async (t) => {
  for (const [kind, times] of [['COPY', 2], ['SAVEPOINT', 1], ['ROLLBACK TO', 1], ['COMMIT', 1]] as const) {
    const rig = new Rig()
    rig.server.refuses = (row) => valueOf(row) === 1 ? serverError('22021') : null
    rig.append(2)
    rig.fail(kind, 1, { effect: 'hang', skip: times - 1 })
    const running = rig.drain.run()
    await rig.server.reached(kind, times)
    rig.drain.close()
    await running
    t.equal(rig.server.open, 0)
    t.equal(rig.server.rows.length, 0)
  }
})

t.test('close while it waits for frames: ends with the journal', async (t) => {
  const rig = new Rig()
  const running = rig.drain.run()
  await rig.append().settled
  rig.drain.close()
  const late = rig.append()
  await rig.journal.close()
  await running
  t.strictSame(late.told, ['outcome_unknown'])
  t.equal(rig.server.rows.length, 2)
  t.equal(rig.server.open, 0)
})
