import assert from 'node:assert/strict'
import t from 'tap'
import fc from 'fast-check'
import { SatelliteTable, type Satellite } from '../../protocol/satellites.js'

const byBytes = (table: SatelliteTable, bytes: Buffer): Satellite | null => {
  // Surrounded by other bytes, like an id in a body.
  const body = Buffer.concat([Buffer.from('"'), bytes, Buffer.from('"')])
  return table.byBytes(body, 1, 1 + bytes.length)
}

t.test('valid ids, by string and by bytes, yield the same object', t => {
  const table = new SatelliteTable()
  const valid = [
    'A', 'SAT-0001', 'NOAA 19', 'ISS (ZARYA)', '1998-067A', 'Спутник', '天宮', '🛰'.repeat(64), 'a'.repeat(64),
    '__proto__', 'é', 'e\u0301'
  ]
  valid.forEach((id, index) => {
    const satellite = index % 2 === 0 ? table.byId(id) : byBytes(table, Buffer.from(id))
    t.equal(satellite?.id, id)
    t.equal(satellite?.index, index)
    const { arena, start, length } = satellite as Satellite
    t.equal(arena.toString('hex', start, start + length), Buffer.from(id).toString('hex'))
    t.equal(table.byId(id), satellite)
    t.equal(byBytes(table, Buffer.from(id)), satellite)
  })
  t.equal(table.generation, 0)
  t.end()
})

t.test('refused ids', t => {
  const table = new SatelliteTable()
  const refused = [
    '', ' ', ' A', 'A ', '\u00a0A', 'A\u3000', '\ufeffA', 'a'.repeat(65), '🛰'.repeat(65), 'a'.repeat(300),
    'a\u0000b', 'a\tb', 'a\nb', 'a\u007f', 'a\u0085b', 'a\u009f'
  ]
  for (const id of refused) {
    t.equal(table.byId(id), null, JSON.stringify(id))
    t.equal(byBytes(table, Buffer.from(id)), null, JSON.stringify(id))
  }
  for (const id of ['\ud800', 'a\udc00', '\udc00\ud800']) t.equal(table.byId(id), null, JSON.stringify(id))
  t.equal(table.byId('A')?.index, 0, 'a refused id takes no space')
  t.equal(table.byId('a\ufffd')?.index, 1)
  t.equal(table.byId('a\udc00'), null, 'a lone surrogate does not match the replacement character')
  t.end()
})

t.test('bytes that are not well-formed UTF-8 are refused', t => {
  const table = new SatelliteTable()
  for (const hex of ['ff', '41c3', 'c080', 'eda080', 'f8888080', '80']) {
    t.equal(byBytes(table, Buffer.from(hex, 'hex')), null, hex)
  }
  t.equal(byBytes(table, Buffer.from('\ufffd'))?.id, '\ufffd', 'the replacement character itself is valid')
  t.end()
})

t.test('does not retain the bytes passed in', t => {
  const table = new SatelliteTable()
  const body = Buffer.from('SAT-1')
  const satellite = table.byBytes(body, 0, 5)
  body.fill(0x58)
  t.equal(satellite?.id, 'SAT-1')
  t.equal(table.byId('SAT-1'), satellite)
  t.end()
})

t.test('many ids are all found again, after the table has grown and across arena chunks', t => {
  const table = new SatelliteTable()
  const ids = Array.from({ length: 20_000 }, (_, index) => `satellite number ${index}`)
  const satellites = ids.map(id => byBytes(table, Buffer.from(id)))
  ids.forEach((id, index) => {
    const again = byBytes(table, Buffer.from(id))
    if (again !== satellites[index] || again !== table.byId(id) || again?.index !== index) t.fail(id)
  })
  t.equal(table.generation, 0)
  t.end()
})

/** More ids with the same one of 512 slots than a look-up probes. */
const crowd: string[] = []
for (let number = 0; crowd.length < 60; number++) {
  let hash = 0x811c9dc5 | 0
  for (const byte of Buffer.from(`S${number}`)) hash = Math.imul(hash ^ byte, 0x01000193)
  hash = Math.imul(hash ^ (hash >>> 15), 0x2c1b3c6d)
  if (((hash ^ (hash >>> 13)) & 511) === 7) crowd.push(`S${number}`)
}

t.test('ids that collide too much to get a slot are still found', t => {
  const table = new SatelliteTable()
  const satellites = crowd.map(id => byBytes(table, Buffer.from(id)))
  t.equal(new Set(satellites).size, 60)
  t.strictSame(crowd.map(id => byBytes(table, Buffer.from(id))?.index), [...crowd.keys()])
  t.strictSame(crowd.map(id => table.byId(id)), satellites)
  for (let number = 0; number < 1_000; number++) table.byId(`later ${number}`)
  t.strictSame(crowd.map(id => byBytes(table, Buffer.from(id))), satellites, 'after the table has grown')
  t.end()
})

t.test('when full, the next body clears the table and starts a new generation', t => {
  const table = new SatelliteTable(3)
  table.begin()
  const first = ['A', 'B', 'C', 'D'].map(id => table.byId(id))
  t.strictSame(first.map(satellite => satellite?.index), [0, 1, 2, 3], 'not in the middle of a body')
  table.keep()
  t.equal(table.generation, 0)
  table.begin()
  t.equal(table.generation, 1)
  t.equal(byBytes(table, Buffer.from('E'))?.index, 0)
  const again = byBytes(table, Buffer.from('A'))
  t.not(again, first[0])
  t.equal(again?.index, 1)
  t.equal(first[0]?.id, 'A', 'kept satellites stay valid')
  t.end()
})

t.test('property: a body that is not kept takes no space, and kept satellites stay', t => {
  const pool = [...crowd, ...Array.from({ length: 2_000 }, (_, number) => `another satellite ${number}`)]
  const body = fc.record({
    ids: fc.array(fc.constantFrom(...pool), { maxLength: 700, size: 'max' }),
    taken: fc.boolean(),
    text: fc.boolean()
  })
  fc.assert(fc.property(fc.array(body, { maxLength: 12 }), bodies => {
    const table = new SatelliteTable()
    const kept = new Map<string, Satellite>()
    for (const { ids, taken, text } of bodies) {
      table.begin()
      const found = ids.map(id => text ? table.byId(id) : byBytes(table, Buffer.from(id)))
      ids.forEach((id, index) => {
        const satellite = found[index]!
        assert.equal(satellite.id, id)
        assert.equal(satellite, kept.get(id) ?? table.byId(id))
      })
      if (!taken) continue
      table.keep()
      ids.forEach((id, index) => kept.set(id, found[index]!))
    }
    table.begin()
    assert.equal(table.byId('the next')?.index, kept.size)
    for (const [id, { arena, start, length }] of kept) assert.equal(arena.toString('utf8', start, start + length), id)
  }), { numRuns: 60 })
  t.end()
})

t.test('property: both look-ups agree on any text', t => {
  const table = new SatelliteTable(50)
  fc.assert(fc.property(fc.string({ unit: 'binary', maxLength: 70 }), fc.boolean(), (id, stringFirst) => {
    const first = stringFirst ? table.byId(id) : byBytes(table, Buffer.from(id))
    const second = stringFirst ? byBytes(table, Buffer.from(id)) : table.byId(id)
    return first === second && (first === null || first.id === id)
  }), { numRuns: 3_000 })
  t.end()
})
