import t from 'tap'
import { SenderPages } from '../../../../lib/primary/answers/sender-pages.js'
import type { Slot } from '../../../../lib/primary/slots.js'
import type { SenderQuery } from '../../../../lib/ingress/http/api/status-port.js'
import { SenderTable } from '../../../../lib/ingress/udp/senders.js'
import { slotOf } from '../../../support/programs/slots.js'

interface Shown {
  readonly total: number
  readonly senders: ReadonlyArray<{ readonly sender: string, readonly port: number, readonly received: number }>
}

interface Rig {
  readonly slots: Slot[]
  readonly pages: SenderPages
  readonly show: (query: Partial<SenderQuery>) => Promise<Shown>
}

/** Workers 0, 1, … with these senders; those in `mute` never answer. */
function rig (names: ReadonlyArray<readonly string[]>, mute: readonly number[] = []): Rig {
  const slots = names.map((_, number) => slotOf({ number, listener: { kind: 'udp', port: 8081 + number } }))
  const tables = names.map((senders) => {
    const table = new SenderTable()
    for (const sender of senders) table.observe(sender, 1, 0, '127.0.0.1', 0)
    return table
  })
  const pages: SenderPages = new SenderPages({
    ask: ({ number }, id, { offset, limit, sender }) => {
      if (mute.includes(number)) return
      setImmediate(() => pages.received(slots[number]!, id, tables[number]!.list(offset, limit, sender)))
    }
  })
  const show = async (query: Partial<SenderQuery>): Promise<Shown> => {
    const answer = await pages.answer(slots, { offset: 0, limit: 100, sender: null, ...query })
    t.equal(answer.status, 200)
    return JSON.parse(answer.body) as Shown
  }
  return { slots, pages, show }
}

t.test('pages span the senders of all workers, sorted by name', async (t) => {
  const { show } = rig([['d', 'a', 'c'], ['b', 'c', 'e'], []])
  const seen: string[] = []
  for (let offset = 0; offset < 8; offset += 2) {
    const { total, senders } = await show({ offset, limit: 2 })
    t.equal(total, 6)
    seen.push(...senders.map(({ sender, port }) => `${sender}${port}`))
  }
  t.strictSame(seen, ['a8081', 'b8082', 'c8081', 'c8082', 'd8081', 'e8082'])
})

t.test('a single worker; a single sender; no workers', async (t) => {
  const { show } = rig([['a', 'b', 'c']])
  t.match(await show({ offset: 1, limit: 1 }), { total: 3, senders: [{ sender: 'b', port: 8081, received: 1 }] })
  t.match(await show({ sender: 'c' }), { total: 1, senders: [{ sender: 'c' }] })
  t.match(await show({ sender: 'x' }), { total: 0, senders: [] })
  t.match(await rig([]).show({}), { total: 0, senders: [] })
})

t.test('a worker that is silent or down makes the answer a 503', async (t) => {
  const query = { offset: 0, limit: 1, sender: null }
  const silent = rig([['a'], ['b']], [1])
  const answer = await silent.pages.answer(silent.slots, query)
  t.equal(answer.status, 503)
  t.match(JSON.parse(answer.body), { error: { code: 'not_ready', message: /1 of 2/ } })
  silent.pages.received(silent.slots[1]!, 1, { total: 0, offset: 0, senders: [] })
  const dead = rig([['a'], ['b']])
  dead.slots[0]!.state = 'waiting'
  t.equal((await dead.pages.answer(dead.slots, query)).status, 503)
})

t.test('lists are gathered one at a time, with a bounded queue', async (t) => {
  const { slots, pages } = rig([['a', 'b'], ['c']])
  let underWay = 0
  const asked: number[] = []
  const paced: SenderPages = new SenderPages({
    ask: (slot, id) => {
      if (slot === slots[0]) asked.push(++underWay)
      setImmediate(() => {
        if (slot === slots[0]) underWay--
        paced.received(slot, id, { total: 0, offset: 0, senders: [] })
      })
    }
  })
  const ask = async (offset: number): ReturnType<SenderPages['answer']> =>
    await paced.answer(slots, { offset, limit: 1, sender: null })
  const answers = await Promise.all(Array.from({ length: 500 }, async (_, offset) => await ask(offset)))
  t.strictSame(asked, new Array(16).fill(1))
  t.equal(answers.filter(({ status }) => status === 200).length, 16)
  t.equal(answers.filter(({ status, body }) => status === 429 && body.includes('too_busy')).length, 484)
  t.equal((await pages.answer(slots, { offset: 0, limit: 1, sender: 'a' })).status, 200)
})
