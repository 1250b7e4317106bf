/** News about clients from one worker to the others: those that cannot take them get none, and none queue up. */
import t from 'tap'
import type { ToWorker } from '../../../lib/messages/messages.js'
import { ClientNewsRelay } from '../../../lib/primary/client-news.js'
import type { Slot } from '../../../lib/primary/slots.js'
import { slotOf } from '../../support/programs/slots.js'

const NEWS = { uses: [['10.0.0.1', 1, 0] as const], satellites: [] }

interface Rig {
  readonly relay: ClientNewsRelay
  /** What each worker was sent, by the number of its slot. */
  readonly sent: number[]
  /** Have what was sent leave the process. */
  readonly leave: Array<() => void>
}

function rigOf (all: readonly Slot[], isThere = true): Rig {
  const sent: number[] = []
  const leave: Array<() => void> = []
  const send = ({ number }: Slot, message: ToWorker, onSent: () => void = () => {}): boolean => {
    t.strictSame(message, { type: 'client-news', news: NEWS })
    sent.push(number)
    if (isThere) leave.push(onSent)
    return isThere
  }
  return { relay: new ClientNewsRelay({ all, send }), sent, leave }
}

t.test('all other HTTP workers that serve get them', (t) => {
  const from = slotOf()
  const states = ['ready', 'retiring', 'starting', 'waiting', 'stopping', 'gone'] as const
  const others = states.map((state, index) => slotOf({ number: 1 + index, state }))
  const udp = slotOf({ number: 9, listener: { kind: 'udp', port: 9000 } })
  const { relay, sent } = rigOf([from, ...others, udp])
  relay.pass(from, NEWS)
  t.strictSame(sent, [1, 2])
  t.end()
})

t.test('a worker that reads nothing has a bounded number on their way, and gets others once it reads', (t) => {
  const [from, stuck] = [slotOf(), slotOf({ number: 1 })]
  const { relay, sent, leave } = rigOf([from, stuck])
  for (let message = 0; message < 10_000; message++) relay.pass(from, NEWS)
  t.ok(sent.length <= 100)
  const { length } = sent
  leave.shift()?.()
  relay.pass(from, NEWS)
  relay.pass(from, NEWS)
  t.equal(sent.length, length + 1)
  relay.died(stuck)
  for (const each of leave) each()
  relay.pass(from, NEWS)
  t.equal(sent.length, length + 2)
  t.end()
})

t.test('a worker whose channel is closed takes no room', (t) => {
  const [from, other] = [slotOf(), slotOf({ number: 1 })]
  const { relay, sent } = rigOf([from, other], false)
  for (let message = 0; message < 1_000; message++) relay.pass(from, NEWS)
  t.equal(sent.length, 1_000)
  t.end()
})
