import fc from 'fast-check'
import t from 'tap'
import { EPOCH_SILENCE_MS, SEQUENCE_WINDOW, SenderTable, type SenderSummary } from '../../../../lib/ingress/udp/senders.js'

const only = (table: SenderTable): SenderSummary => table.list(0, 1).senders[0]!

t.test('loss, disorder and repetition on the way: sent = received + missing', t => {
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
    // The last one is the heartbeat that ends a run: it arrives, after all others.
    const arrivals = Array.from({ length: sent - 1 }, (_, seq) => seq)
      .filter(() => random() >= lost)
      .flatMap(seq => random() < repeated ? [seq, seq] : [seq])
      .map(seq => ({ seq, at: seq + random() * disorder }))
      .sort((a, b) => a.at - b.at)
      .map(arrival => arrival.seq)
    const table = new SenderTable()
    const stored = new Set<number>()
    for (const seq of [...arrivals, sent - 1]) {
      const verdict = table.observe('bench', 1, seq, 0)
      if (verdict === 'duplicate' && !stored.has(seq)) return false
      if (verdict !== 'fresh' && verdict !== 'late') continue
      if (stored.has(seq)) return false
      stored.add(seq)
    }
    const { received, missing, duplicates, stale } = only(table)
    return stored.size === new Set([...arrivals, sent - 1]).size && stale === 0 &&
      received === stored.size && received + missing === sent && duplicates === arrivals.length + 1 - received &&
      table.totals.gaps - table.totals.late === missing
  }), { numRuns: 300 })
  t.end()
})

t.test('the table agrees with a plain set of numbers, across jumps of any width', t => {
  const step = fc.oneof(fc.integer({ min: -5000, max: 5000 }), fc.integer({ min: -3, max: 3 }), fc.constantFrom(SEQUENCE_WINDOW, -SEQUENCE_WINDOW, 1 - SEQUENCE_WINDOW, 100_000))
  fc.assert(fc.property(fc.integer({ min: 0, max: 10_000 }), fc.array(step, { maxLength: 200 }), (start, steps) => {
    const table = new SenderTable()
    table.observe('bench', 1, start, 0)
    let seq = start
    let highest = start
    let first = start < SEQUENCE_WINDOW ? 0 : start
    const seen = new Set([start])
    for (const by of steps) {
      seq = Math.max(0, seq + by)
      const verdict = table.observe('bench', 1, seq, 0)
      const wanted = seq > highest ? 'fresh' : seq <= highest - SEQUENCE_WINDOW ? 'stale' : seen.has(seq) ? 'duplicate' : 'late'
      if (verdict !== wanted) return false
      if (wanted === 'stale') continue
      seen.add(seq)
      highest = Math.max(highest, seq)
      first = Math.min(first, seq)
    }
    const summary = only(table)
    return summary.first === first && summary.highest === highest && summary.received === seen.size &&
      summary.received + summary.missing === highest - first + 1
  }), { numRuns: 2000 })
  t.end()
})

t.test('a sender heard from number 4,096 on was joined in the middle', t => {
  const table = new SenderTable()
  t.equal(table.observe('early', 1, SEQUENCE_WINDOW - 1, 0), 'fresh')
  t.match(only(table), { first: 0, received: 1, missing: SEQUENCE_WINDOW - 1 })
  t.equal(table.observe('joined', 1, SEQUENCE_WINDOW, 0), 'fresh')
  t.match(table.list(1, 1).senders[0], { sender: 'joined', first: SEQUENCE_WINDOW, received: 1, missing: 0 })
  t.end()
})

t.test('a higher epoch begins a new life; a lower one is stale, until its sender was silent for long', t => {
  const table = new SenderTable()
  table.observe('bench', 5, 7, 0)
  t.equal(table.observe('bench', 6, 0, 10), 'fresh')
  t.match(only(table), { epoch: 6, received: 1, missing: 0, restarts: 1 })
  t.equal(table.observe('bench', 5, 8, 20), 'stale')
  t.equal(table.observe('bench', 5, 9, 10 + EPOCH_SILENCE_MS - 1), 'stale', 'its own packets are no sign of life')
  t.match(only(table), { epoch: 6, stale: 2 })
  t.equal(table.observe('bench', 5, 10, 10 + EPOCH_SILENCE_MS), 'fresh')
  t.match(only(table), { epoch: 5, first: 0, highest: 10, received: 1, missing: 10, stale: 0, restarts: 2 })
  t.match(table.totals, { stale: 2, restarts: 2, gaps: 7 + 10 })
  t.end()
})

t.test('the sender not seen for longest makes room, and comes back as a new one', t => {
  const table = new SenderTable(3)
  for (const name of ['a', 'b', 'c']) table.observe(name, 1, 0, 0)
  t.equal(table.observe('a', 1, 0, 1), 'duplicate')
  table.observe('d', 1, 3, 2)
  t.equal(table.size, 3)
  t.strictSame(table.list(0, 10).senders.map(sender => sender.sender), ['a', 'c', 'd'])
  t.match(table.list(2, 1), { total: 3, offset: 2, senders: [{ sender: 'd', received: 1, missing: 3, restarts: 0 }] })
  t.equal(table.observe('b', 1, 0, 3), 'fresh', 'what was known of it is gone')
  t.equal(table.totals.evicted, 2)
  t.end()
})

t.test('a flood of invented senders stays within its bound', t => {
  const table = new SenderTable(1000)
  for (let index = 0; index < 50_000; index++) table.observe(`invented-${index}`, index, index, index)
  t.equal(table.size, 1000)
  t.equal(table.totals.evicted, 49_000)
  t.end()
})
