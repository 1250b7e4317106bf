import fc from 'fast-check'
import t from 'tap'
import { CONFIRMED_PACKETS, PACKETS_PER_SECOND_MAX, type LifeSummary } from '../../../../lib/ingress/udp/life.js'
import { SenderTable, type SenderSummary, type Verdict } from '../../../../lib/ingress/udp/senders.js'
import { JUMP_MAX, SEQUENCE_WINDOW } from '../../../../lib/ingress/udp/window.js'

const HERE = '192.0.2.1'
const THERE = '198.51.100.7'
const HIGHEST = Number.MAX_SAFE_INTEGER
const HOUR_MS = 3_600_000

const only = (table: SenderTable): SenderSummary => table.list(0, 1).senders[0]!
const livesOf = (table: SenderTable, name = 'bench'): LifeSummary[] => (
  table.list(0, 1, name).senders.flatMap((sender) => [sender, ...sender.other_lives])
)

/** Sends consecutive numbers from one address. */
function run (table: SenderTable, epoch: number, first: number, count: number, address = HERE, nowMs = 0): Verdict[] {
  return Array.from({ length: count }, (_, index) => table.observe('bench', epoch, first + index, address, nowMs))
}

t.test('loss, reordering and repetition: sent = received + missing', t => {
  const way = fc.record({
    sent: fc.integer({ min: 1, max: 3000 }),
    lost: fc.double({ min: 0, max: 0.6, noNaN: true }),
    repeated: fc.double({ min: 0, max: 0.5, noNaN: true }),
    disorder: fc.integer({ min: 0, max: 2000 }),
    seed: fc.integer()
  })
  fc.assert(fc.property(way, ({ sent, lost, repeated, disorder, seed }) => {
    let state = seed
    const random = (): number => {
      state = (Math.imul(state, 1_664_525) + 1_013_904_223) | 0
      return (state >>> 0) / 2 ** 32
    }
    // The last packet is the final heartbeat, which arrives after all others.
    const arrivals = Array.from({ length: sent - 1 }, (_, seq) => seq)
      .filter(() => random() >= lost)
      .flatMap(seq => random() < repeated ? [seq, seq] : [seq])
      .map(seq => ({ seq, at: seq + random() * disorder }))
      .sort((a, b) => a.at - b.at)
      .map(arrival => arrival.seq)
    const table = new SenderTable()
    const stored = new Set<number>()
    for (const seq of [...arrivals, sent - 1]) {
      const verdict = table.observe('bench', 1, seq, HERE, 0)
      if (verdict === 'duplicate' && !stored.has(seq)) return false
      if (verdict !== 'fresh' && verdict !== 'late') continue
      if (stored.has(seq)) return false
      stored.add(seq)
    }
    const { received, missing, duplicates, stale } = only(table)
    return stored.size === new Set([...arrivals, sent - 1]).size && stale === 0 &&
      received === stored.size && received + missing === sent && duplicates === arrivals.length + 1 - received &&
      (received < CONFIRMED_PACKETS || table.totals.gaps - table.totals.late === missing)
  }), { numRuns: 300 })
  t.end()
})

interface Range {
  readonly epoch: number
  readonly address: string
  first: number
  highest: number
  readonly seen: Set<number>
}

/** The rules at the head of window.ts again, without bitmaps and bounds. */
class Model {
  readonly ranges: Range[] = []

  observe (epoch: number, seq: number, address: string): Verdict {
    const own = this.ranges
      .filter((range) => range.epoch === epoch && range.address === address)
      .sort((a, b) => a.first - b.first)
    const within = own.find(({ first, highest }) => first <= seq && seq <= highest)
    const below = own.findLast(({ highest }) => highest < seq)
    const above = own.find(({ first }) => first > seq)
    if (within !== undefined) {
      if (seq <= within.highest - SEQUENCE_WINDOW) return 'stale'
      if (within.seen.has(seq)) return 'duplicate'
      within.seen.add(seq)
      return 'late'
    }
    if (below !== undefined && seq <= below.highest + JUMP_MAX) {
      below.highest = seq
      below.seen.add(seq)
    } else if (above !== undefined && seq > above.highest - SEQUENCE_WINDOW) {
      above.first = seq
      above.seen.add(seq)
    } else {
      const joins = seq >= SEQUENCE_WINDOW || this.ranges.some((range) => range.epoch === epoch)
      this.ranges.push({ epoch, address, first: joins ? seq : 0, highest: seq, seen: new Set([seq]) })
    }
    return 'fresh'
  }
}

t.test('property: the table accepts and drops by the rules, and no number twice', t => {
  const edges = [SEQUENCE_WINDOW, -SEQUENCE_WINDOW, 1 - SEQUENCE_WINDOW, JUMP_MAX, JUMP_MAX + 1]
  const step = fc.oneof(
    { weight: 8, arbitrary: fc.integer({ min: -3, max: 3 }) },
    { weight: 4, arbitrary: fc.integer({ min: -300, max: 300 }) },
    { weight: 2, arbitrary: fc.integer({ min: -5000, max: 5000 }) },
    { weight: 2, arbitrary: fc.constantFrom(...edges) },
    { weight: 1, arbitrary: fc.constantFrom(HIGHEST, -HIGHEST) })
  const epochs = fc.constantFrom(...new Array<number>(20).fill(7), 8, HIGHEST)
  const addresses = fc.constantFrom(...new Array<string>(20).fill(HERE), THERE)
  const packet = fc.tuple(epochs, addresses, step)
  fc.assert(fc.property(fc.integer({ min: 0, max: 10_000 }), fc.array(packet, { maxLength: 200 }), (start, packets) => {
    const [table, model] = [new SenderTable(), new Model()]
    const taken = new Set<string>()
    let seq = start
    for (const [epoch, address, by] of packets) {
      seq = Math.min(Math.max(0, seq + by), HIGHEST)
      const verdict = model.observe(epoch, seq, address)
      if (model.ranges.length > 4) return true
      const given = table.observe('bench', epoch, seq, address, 0)
      // A packet that fills a gap between two windows is fresh or late, depending on their lives.
      const isTaken = given === 'fresh' || given === 'late'
      if (isTaken !== (verdict === 'fresh' || verdict === 'late') || (!isTaken && given !== verdict)) return false
      if (isTaken && taken.has(`${epoch} ${address} ${seq}`)) return false
      if (isTaken) taken.add(`${epoch} ${address} ${seq}`)
    }
    return Object.values(table.totals).every((sum) => Number.isSafeInteger(sum) && sum >= 0) &&
      livesOf(table).every(({ missing, received }) => Number.isSafeInteger(missing) && missing >= 0 && received > 0)
  }), { numRuns: 2_000 })
  t.end()
})

t.test('property: whatever others send under its name, a sender loses nothing and nothing is accepted twice', t => {
  const epochs = fc.oneof(fc.constant(7), fc.constantFrom(0, 8, HIGHEST), fc.nat(1_000))
  const numbers = fc.oneof(
    fc.constantFrom(HIGHEST, HIGHEST - 1, 2 ** 40), fc.integer({ min: 20_000, max: 1e9 }), fc.nat(30))
  // From the sender's own address only numbers far from its own: a forged next number cannot be told from the real one.
  const forged = fc.tuple(epochs, numbers, fc.boolean()).map(([epoch, seq, isHere]) => (
    { epoch, seq: epoch === 7 && isHere ? Math.max(seq, 20_000) : seq, address: isHere ? HERE : THERE }
  ))
  const honest = fc.record({
    lost: fc.boolean(),
    times: fc.constantFrom(1, 1, 1, 2, 3),
    back: fc.integer({ min: 0, max: 40 }),
    forged: fc.array(forged, { maxLength: 3 })
  })
  fc.assert(fc.property(fc.array(honest, { minLength: 1, maxLength: 150 }), (steps) => {
    const table = new SenderTable()
    run(table, 7, 0, CONFIRMED_PACKETS)
    const arrivals = steps
      .flatMap(({ lost, times, back, forged }, index) => Array.from({ length: lost ? 0 : times }, (_, time) => (
        { seq: CONFIRMED_PACKETS + index, at: index + back * (time + 1), forged }
      )))
      .sort((a, b) => a.at - b.at)
    const seen = new Set<number>()
    for (const { seq, forged } of arrivals) {
      for (const packet of forged) table.observe('bench', packet.epoch, packet.seq, packet.address, 0)
      const verdict = table.observe('bench', 7, seq, HERE, 0)
      if ((verdict === 'fresh' || verdict === 'late') === seen.has(seq)) return false
      seen.add(seq)
    }
    const life = livesOf(table).find(({ epoch, first }) => epoch === 7 && first === 0)
    return life !== undefined && life.received >= CONFIRMED_PACKETS + seen.size &&
      life.received + life.missing === life.highest + 1
  }), { numRuns: 1_000 })
  t.end()
})

t.test('an absurd packet, or two alternating ones, do not affect the packets of the sender', t => {
  const absurd = [[7, HIGHEST], [HIGHEST, 0], [HIGHEST, HIGHEST], [7, HIGHEST - 1]] as const
  const table = new SenderTable()
  run(table, 7, 0, 20)
  for (let seq = 20; seq < 400; seq++) {
    const [epoch, number] = absurd[seq % absurd.length]!
    if (seq % 2 === 0) table.observe('bench', epoch, number, seq % 3 === 0 ? HERE : THERE, seq)
    if (table.observe('bench', 7, seq, HERE, seq) !== 'fresh') t.fail(`packet ${seq}`)
  }
  const own = livesOf(table).find(({ epoch, first }) => epoch === 7 && first === 0)
  t.match(own, { highest: 399, received: 400, missing: 0, confirmed: true })
  t.match(table.totals, { gaps: 0, late: 0, stale: 0 })
  t.ok(livesOf(table).length > 1, 'the other sender is visible')
  for (let number = 0; number < 50; number++) {
    table.observe('bench', number * 1_000, 2 ** 52 + number * 10_000, HERE, 400)
  }
  t.ok(table.totals.strays > 40, `${table.totals.strays} strays`)
  t.end()
})

t.test('a sender cut off for an hour continues at once, and what it sent meanwhile is missing', t => {
  const table = new SenderTable()
  run(table, 1, 0, 1_000)
  const [first, ...rest] = run(table, 1, 3_600_000, CONFIRMED_PACKETS, HERE, HOUR_MS)
  t.strictSame([first, ...rest], new Array(CONFIRMED_PACKETS).fill('fresh'))
  const received = 1_000 + CONFIRMED_PACKETS
  const highest = 3_599_999 + CONFIRMED_PACKETS
  t.match(only(table), { first: 0, highest, received, missing: 3_599_000, restarts: 0, other_lives: [] })
  t.equal(table.totals.gaps, 3_599_000)
  t.equal(table.observe('bench', 1, 1_000, HERE, HOUR_MS), 'late', 'earlier packets are still remembered')
  t.equal(table.observe('bench', 1, 999, HERE, HOUR_MS), 'duplicate')
  t.match(only(table), { received: received + 1, missing: 3_598_999, late: 1 })
  t.match(table.totals, { gaps: 3_599_000, late: 1 })
  t.end()
})

t.test('a jump beyond what a sender can have sent since is another life, and nothing is missing', t => {
  const table = new SenderTable()
  run(table, 1, 0, 1_000)
  const first = PACKETS_PER_SECOND_MAX * 3_602
  run(table, 1, first, 10, HERE, HOUR_MS)
  const earlier = { highest: 999, received: 1_000 }
  t.match(only(table), { first, received: 10, missing: 0, restarts: 1, other_lives: [earlier] })
  t.equal(table.totals.gaps, 0)
  t.end()
})

t.test('a sender whose address changes continues its life', t => {
  const table = new SenderTable()
  run(table, 1, 0, 100)
  t.strictSame(run(table, 1, 103, 100, THERE, 10), new Array(100).fill('fresh'))
  t.match(only(table), { first: 0, highest: 202, received: 200, missing: 3, other_lives: [] })
  t.end()
})

t.test('a sender first heard at number 4,096 or later is joined midway', t => {
  const table = new SenderTable()
  t.equal(table.observe('early', 1, SEQUENCE_WINDOW - 1, HERE, 0), 'fresh')
  t.match(only(table), { first: 0, received: 1, missing: SEQUENCE_WINDOW - 1 })
  t.equal(table.observe('joined', 1, SEQUENCE_WINDOW, HERE, 0), 'fresh')
  t.match(table.list(1, 1).senders[0], { sender: 'joined', first: SEQUENCE_WINDOW, received: 1, missing: 0 })
  t.equal(table.totals.gaps, 0, 'one packet is not enough to call others missing')
  for (const by of [2, -2, 1]) table.observe('joined', 1, SEQUENCE_WINDOW + by, HERE, 0)
  t.match(table.list(1, 1).senders[0], { first: SEQUENCE_WINDOW - 2, received: 4, missing: 1 })
  t.equal(table.totals.gaps - table.totals.late, 1)
  t.end()
})

t.test('another epoch, higher or lower, begins another life at once; the earlier one is still remembered', t => {
  const table = new SenderTable()
  run(table, 5, 7, 10)
  t.strictSame(run(table, 4, 0, CONFIRMED_PACKETS), new Array(CONFIRMED_PACKETS).fill('fresh'))
  const earlier = { epoch: 5, first: 0, highest: 16, received: 10, missing: 7, confirmed: true }
  t.match(only(table), { epoch: 4, received: CONFIRMED_PACKETS, missing: 0, restarts: 1, other_lives: [earlier] })
  t.equal(table.observe('bench', 5, 16, HERE, 20), 'duplicate')
  t.equal(table.observe('bench', 5, 3, HERE, 20), 'late')
  t.match(table.totals, { restarts: 1, gaps: 7, late: 1 })
  t.end()
})

t.test('the sender not heard for longest is evicted, and comes back as a new one', t => {
  const table = new SenderTable(3)
  for (const name of ['a', 'b', 'c']) table.observe(name, 1, 0, HERE, 0)
  t.equal(table.observe('a', 1, 0, HERE, 1), 'duplicate')
  table.observe('d', 1, 3, HERE, 2)
  t.equal(table.size, 3)
  t.strictSame(table.list(0, 10).senders.map(sender => sender.sender), ['a', 'c', 'd'])
  const newest = { sender: 'd', received: 1, missing: 3, restarts: 0, other_lives: [] }
  t.match(table.list(2, 1), { total: 3, offset: 2, senders: [newest] })
  t.equal(table.observe('b', 1, 0, HERE, 3), 'fresh', 'it was forgotten')
  t.equal(table.totals.evicted, 2)
  t.end()
})

t.test('a flood of invented senders stays within the limit, and evicts no established one', t => {
  const table = new SenderTable(1000)
  run(table, 1, 0, CONFIRMED_PACKETS)
  for (let index = 0; index < 50_000; index++) table.observe(`invented-${index}`, index, index, HERE, index)
  t.equal(table.size, 1000)
  t.equal(table.totals.evicted, 49_001)
  const repeats = new Array<Verdict>(CONFIRMED_PACKETS).fill('duplicate')
  t.strictSame(run(table, 1, 0, CONFIRMED_PACKETS + 1), [...repeats, 'fresh'])
  t.equal(table.totals.gaps, 0)
  t.end()
})

t.test('a table that takes over goes on as the one before', t => {
  const [before, whole] = [new SenderTable(), new SenderTable()]
  const numbers = [0, 1, 2, 3, 7, 5, 3, 9_000, 9_001, 9_002, 9_003]
  for (const table of [before, whole]) {
    for (const seq of numbers) table.observe('bench', 1, seq, HERE, 0)
    table.observe('newcomer', 1, 4, THERE, 0)
  }
  const after = new SenderTable()
  after.load(JSON.parse(JSON.stringify(before.save())) as ReturnType<SenderTable['save']>)
  t.strictSame(after.list(0, 10), whole.list(0, 10))
  const later = [3, 4, 6, 7, 8, 9_004, 9_002, 9_006, 9_005]
  const verdicts = (table: SenderTable): Verdict[] => later.map((seq) => table.observe('bench', 1, seq, HERE, 1))
  t.strictSame(verdicts(after), verdicts(whole))
  t.strictSame(after.list(0, 10), whole.list(0, 10))
  const { gaps, late, duplicates } = whole.totals
  t.equal(before.totals.gaps + after.totals.gaps, gaps)
  t.equal(before.totals.late + after.totals.late, late)
  t.equal(before.totals.duplicates + after.totals.duplicates, duplicates)
  t.end()
})
