import assert from 'node:assert/strict'
import t from 'tap'
import * as fc from 'fast-check'
import { METRICS, STREAM } from '../../support/points/built-in.js'
import { isDataError, separatePoison, splitRows } from '../../../lib/drain/poison.js'
import { connectionLost, FakeServer, serverError } from '../../support/database/fake-database.js'
import { decodeRows, encodeRow, type PlainRow } from '../../support/points/rows.js'

const TIME = 1_700_000_000_000_000n
const rowOf = (value: number, id: Buffer | string = 'SAT'): Buffer =>
  encodeRow({ id: Buffer.from(id), timeMicros: TIME, values: [value, null, null] })
const valueOf = (row: PlainRow): number => row.values[0] ?? -1
const valuesOf = (rows: readonly Buffer[]): number[] => rows.map((row) => valueOf(decodeRows(row)[0]!))

t.test('data errors are those of class 22, 23 and P0, and of those left to triggers, and nothing else', (t) => {
  const codes = ['22000', '22021', '22P02', '23505', '23514', 'P0001', 'P0002', '45000', 'U0001', 'ZZZZZ', '90001']
  for (const code of codes) t.equal(isDataError(serverError(code)), true, code)
  const others = [
    '08006', '40001', '42P01', '53100', '55P03', '57P01', '58030', '72000', 'F0000', 'HV000', 'TS000', 'XX000'
  ]
  for (const code of others) t.equal(isDataError(serverError(code)), false, code)
  for (const error of [connectionLost(), new Error('22021'), null, '22021', { code: '22021' }]) {
    t.equal(isDataError(error), false)
  }
  t.end()
})

t.test('splitRows gives every row of every batch, in order', (t) => {
  const rows = Array.from({ length: 9 }, (_, i) => rowOf(i, 'x'.repeat(i + 1)))
  const payloads = [Buffer.concat(rows.slice(0, 4)), Buffer.alloc(0), Buffer.concat(rows.slice(4))]
  t.strictSame(splitRows(payloads).map((row) => row.toString('hex')), rows.map((row) => row.toString('hex')))
  t.strictSame(splitRows([]), [])
  t.end()
})

t.test('finds exactly the refused rows, stores nothing, and leaves the connection usable', async (t) => {
  await fc.assert(fc.asyncProperty(fc.array(fc.boolean(), { maxLength: 40 }), async (refused) => {
    const server = new FakeServer()
    server.refuses = (row) => refused[valueOf(row)] === true ? serverError('22021', `row ${valueOf(row)}`) : null
    const { good, poison } = await separatePoison(await server.connect(), STREAM, refused.map((_, i) => rowOf(i)))
    const indexes = [...refused.keys()]
    assert.deepEqual(valuesOf(good), indexes.filter((i) => refused[i] === false), 'good rows, in order')
    assert.deepEqual(valuesOf(poison.map(({ bytes }) => bytes)), indexes.filter((i) => refused[i]), 'poison, in order')
    assert.deepEqual(poison.map(({ reason }) => reason), indexes.filter((i) => refused[i]).map((i) => `row ${i}`))
    assert.equal(server.rows.length, 0)
    assert.equal(server.connections.length, 1)
    assert.equal(server.open, 1)
    const bad = refused.filter(Boolean).length
    assert.ok(server.count('COPY') <= 1 + bad * 2 * Math.ceil(Math.log2(Math.max(2, refused.length))), 'by bisecting')
  }), { numRuns: 60 })
  t.pass()
})

t.test('a poison row is shown as JSON, or not where jsonb takes none', async (t) => {
  const server = new FakeServer()
  server.refuses = () => serverError('22021', 'no')
  const rows = [rowOf(1), rowOf(2, 'A\0B'), rowOf(3, Buffer.from([0xff])), rowOf(Infinity)]
  const { poison } = await separatePoison(await server.connect(), STREAM, rows)
  t.strictSame(poison.map(({ bytes }) => bytes), rows)
  t.strictSame(poison.map(({ sqlState }) => sqlState), ['22021', '22021', '22021', '22021'])
  const shown = poison.map(({ json }) => json === null ? null : JSON.parse(json) as Record<string, unknown>)
  t.match(shown[0], { satellite_id: 'SAT', time: '2023-11-14T22:13:20.000000Z', [METRICS[0].name]: 1 })
  t.equal(shown[1], null)
  t.match(shown[2], { satellite_id: '\ufffd' })
  t.match(shown[3], { [METRICS[0].name]: null })
})

t.test('a row with a time that no calendar has is poison like any other', async (t) => {
  const server = new FakeServer()
  server.refuses = (row) => row.timeMicros === TIME ? null : serverError('22008', 'timestamp out of range')
  const timeMicros = 946_684_800_000_000n + 2n ** 62n
  const wild = encodeRow({ id: Buffer.from('A'), timeMicros, values: [1, null, null] })
  const { good, poison } = await separatePoison(await server.connect(), STREAM, [rowOf(1), wild, rowOf(2)])
  t.strictSame(valuesOf(good), [1, 2])
  t.match(poison, [{ sqlState: '22008', bytes: wild }])
})

t.test('anything else than a data error is thrown', async (t) => {
  for (const error of [connectionLost(), serverError('53100'), serverError('40P01')]) {
    for (const on of ['BEGIN', 'SAVEPOINT', 'COPY', 'ROLLBACK TO', 'ROLLBACK'] as const) {
      const server = new FakeServer()
      server.refuses = (row) => valueOf(row) === 1 ? serverError('22021') : null
      const db = await server.connect()
      server.faults.push({ on, times: 1, effect: 'before', error: () => error })
      await t.rejects(separatePoison(db, STREAM, [rowOf(1), rowOf(2)]), error)
    }
  }
})

t.test('as many rows as a run may hold', async (t) => {
  const server = new FakeServer()
  const bad = 100_001
  server.refuses = (row) => valueOf(row) === bad ? serverError('23514') : null
  const rows = Array.from({ length: 200_000 }, (_, i) => rowOf(i, 'A'))
  const { good, poison } = await separatePoison(await server.connect(), STREAM, rows)
  t.equal(good.length, rows.length - 1)
  t.strictSame(valuesOf(poison.map(({ bytes }) => bytes)), [bad])
})
