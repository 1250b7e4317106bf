import assert from 'node:assert/strict'
import t from 'tap'
import * as fc from 'fast-check'
import { CopySorter } from '../../../lib/drain/copy-rows.js'
import {
  decodeCopy, encodeRow, metricValues, rowText, satelliteIds, timesMicros, type PlainRow
} from '../../support/points/rows.js'

const TIME = 1_700_000_000_000_000

/** The expected order: by bytes of the id, then time, then arrival; rows with invalid ids first, by time. */
function expected (rows: readonly PlainRow[], isValid: (row: PlainRow) => boolean = () => true): string[] {
  const valid = rows.filter(isValid)
    .map((row, i) => ({ row, i }))
    .sort((a, b) => Buffer.compare(a.row.id, b.row.id) || Number(a.row.timeMicros - b.row.timeMicros) || a.i - b.i)
  const others = rows.filter((row) => !isValid(row))
    .map((row, i) => ({ row, i }))
    .sort((a, b) => Number(a.row.timeMicros - b.row.timeMicros) || a.i - b.i)
  return [...others, ...valid].map(({ row }) => rowText(row))
}

function sorted (sorter: CopySorter, payloads: readonly PlainRow[][]): string[] {
  const buffers = payloads.map((rows) => Buffer.concat([Buffer.alloc(3), ...rows.map(encodeRow)]).subarray(3))
  return decodeCopy(sorter.sort(buffers, payloads.flat().length)).map(rowText)
}

const plainRow = (id: string | Buffer, micros: number, value = 1): PlainRow =>
  ({ id: typeof id === 'string' ? Buffer.from(id) : id, timeMicros: BigInt(micros), values: [value, null, null] })

/** Rows of few satellites at few times, so that all orders and ties come up. */
const payloadsOf = (ids: fc.Arbitrary<string[]>): fc.Arbitrary<PlainRow[][]> => ids.chain((list) =>
  fc.array(fc.array(fc.record({
    id: fc.constantFrom(...list).map((id) => Buffer.from(id)),
    timeMicros: fc.oneof(fc.integer({ min: TIME, max: TIME + 3 }), timesMicros).map(BigInt),
    values: metricValues
  }), { maxLength: 30 }), { maxLength: 5 }))

t.test('no rows: header and trailer', (t) => {
  t.strictSame(decodeCopy(new CopySorter().sort([], 0)), [])
  t.strictSame(decodeCopy(new CopySorter().sort([Buffer.alloc(0)], 0)), [])
  t.end()
})

t.test('exactly the rows given, sorted, with one sorter from COPY to COPY', (t) => {
  const ids = fc.array(satelliteIds, { minLength: 1, maxLength: 12 })
  fc.assert(fc.property(fc.array(payloadsOf(ids), { minLength: 1, maxLength: 4 }), (copies) => {
    const sorter = new CopySorter()
    for (const payloads of copies) assert.deepEqual(sorted(sorter, payloads), expected(payloads.flat()))
  }), { numRuns: 100 })
  t.pass()
  t.end()
})

t.test('byte order, where that of UTF-16 or of a language differs', (t) => {
  const ids = ['a', 'B', 'Ä', '\uffff', '\u{10000}', 'é', 'e\u0301', 'SAT-10', 'SAT-2', 'SAT-1', 'SAT', '日本', '😀']
  const rows = ids.map((id) => plainRow(id, TIME))
  const inOrder = ids.map((id) => Buffer.from(id)).sort((a, b) => Buffer.compare(a, b)).map((id) => id.toString('hex'))
  t.strictSame(sorted(new CopySorter(), [rows]).map((text) => text.split(' ')[0]), inOrder)
  t.end()
})

t.test('few rows among many known satellites are placed by comparing, and the same', (t) => {
  const sorter = new CopySorter()
  const known = Array.from({ length: 3000 }, (_, i) => plainRow(`K-${(i * 7919) % 3000}`, TIME - i))
  assert.deepEqual(sorted(sorter, [known]), expected(known))
  const knownIds = fc.nat({ max: 2999 }).map((i) => `K-${i}`)
  const ids = fc.array(fc.oneof(satelliteIds, knownIds), { minLength: 1, maxLength: 8 })
  fc.assert(fc.property(payloadsOf(ids), (payloads) => {
    assert.deepEqual(sorted(sorter, payloads), expected(payloads.flat()))
  }), { numRuns: 60 })
  t.pass()
  t.end()
})

const BAD_IDS = ['', '41004200', 'ff', 'c080', 'eda080', 'f4908080', '41c3', '20', '4120', '0a']
  .map((hex) => Buffer.from(hex, 'hex'))

t.test('ids that are not valid: their rows are all there, in front, and the others in order', (t) => {
  const id = fc.oneof(
    fc.constantFrom(...BAD_IDS, Buffer.alloc(300, 'x')).map((bytes) => ({ bytes, valid: false })),
    fc.constantFrom('A', 'B', 'C', '日').map((text) => ({ bytes: Buffer.from(text), valid: true })))
  const rows = fc.array(fc.record({ id, micros: fc.integer({ min: TIME, max: TIME + 5 }) }), { maxLength: 40 })
  fc.assert(fc.property(fc.array(rows, { maxLength: 3 }), (copies) => {
    const sorter = new CopySorter()
    for (const copy of copies) {
      const plain = copy.map(({ id: { bytes }, micros }, i) => plainRow(bytes, micros, i))
      const valid = new Set(plain.filter((_, i) => copy[i]?.id.valid))
      assert.deepEqual(sorted(sorter, [plain]), expected(plain, (row) => valid.has(row)))
    }
  }), { numRuns: 100 })
  t.pass()
  t.end()
})

t.test('a time at either end of an int64 does not break the order of others', (t) => {
  const earliest = { ...plainRow('A', 0), timeMicros: 946_684_800_000_000n - 2n ** 63n }
  const rows = [plainRow('A', TIME), earliest, plainRow('A', TIME - 1)]
  t.strictSame(sorted(new CopySorter(), [rows]), expected(rows))
  t.end()
})

t.test('more satellites than a sorter remembers', (t) => {
  const sorter = new CopySorter()
  const batch = (from: number, count: number): PlainRow[] =>
    Array.from({ length: count }, (_, i) =>
      plainRow(`S${String((from + i * 7) % 1_000_000).padStart(7, '0')}`, TIME + (i % 3)))
  const large = [batch(0, 60_000), batch(500_000, 60_000), batch(250_001, 90_000), batch(3, 201_000)]
  for (const rows of [...large, batch(0, 10), batch(4, 5_000)]) {
    const stream = sorter.sort([Buffer.concat(rows.map(encodeRow))], rows.length)
    const got = decodeCopy(stream)
    assert.equal(got.length, rows.length)
    const keys = got.map((row) => `${row.id.toString()} ${row.timeMicros}`)
    assert.deepEqual(keys, rows.map((row) => `${row.id.toString()} ${row.timeMicros}`).sort())
  }
  t.pass()
  t.end()
})

t.test('frames that say another number of rows than they hold are a fault, and the sorter goes on', (t) => {
  const sorter = new CopySorter()
  const rows = ['B', 'A', 'C'].map((id) => plainRow(id, TIME))
  const payload = Buffer.concat(rows.map(encodeRow))
  for (const rows of [2, 4]) {
    t.throws(() => sorter.sort([payload], rows), /frames declare \d rows, their payloads contain 3/)
  }
  t.strictSame(sorted(sorter, [rows]), expected(rows))
  t.end()
})
