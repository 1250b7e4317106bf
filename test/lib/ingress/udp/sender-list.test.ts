/** Pages of senders with and without keys. */
import t from 'tap'
import { KeyRing } from '../../../../lib/ingress/udp/key-ring.js'
import { SenderList } from '../../../../lib/ingress/udp/sender-list.js'
import { SORTED_AT_ONCE_MAX, SenderTable, type SenderPage } from '../../../../lib/ingress/udp/senders.js'
import type { UdpKey } from '../../../../lib/access/udp-key.js'
import { PACKET_BYTES_MAX } from '../../../../protocol/packet/packet.js'
import { PacketEncoder } from '../../../../protocol/packet/packet-encoder.js'

const KEYS: UdpKey[] = Array.from({ length: 3 }, (_, index) => (
  { id: `k${10 + index}`, secret: String(index).padStart(32, 'x'), senders: null, satellites: null, port: null }))

interface Rig {
  readonly senders: SenderTable
  readonly ring: KeyRing
  readonly hear: (key: number, name: string) => void
}

function rigOf (): Rig {
  const senders = new SenderTable()
  const ring = new KeyRing(1, true, senders.totals)
  ring.replace(KEYS)
  const hear = (key: number, name: string): void => {
    const { id = '', secret = '' } = KEYS[key] ?? {}
    const packet = new PacketEncoder(PACKET_BYTES_MAX, `${id}:${secret}`)
    packet.begin(name, 1, 0)
    const checked = ring.check(packet.finish())
    if (checked === null || typeof checked === 'string') throw new Error(`no key: ${String(checked)}`)
    checked.table.observe(name, 1, 0, 0)
  }
  return { senders, ring, hear }
}

const namesOf = ({ senders }: SenderPage): string[] => senders.map(({ sender, key }) => `${sender} ${key ?? ''}`)

t.test('ordered by name and then by key; a name has one for each key', (t) => {
  const { senders, ring, hear } = rigOf()
  const list = new SenderList(senders, ring)
  senders.observe('b', 1, 0, '192.0.2.1', 0)
  t.strictSame(namesOf(list.page(0, 10, null)), ['b '], 'no sender has a key')
  for (const [key, name] of [[2, 'b'], [1, 'b'], [1, 'a']] as const) hear(key, name)
  senders.observe('c', 1, 0, '192.0.2.1', 0)
  t.strictSame(namesOf(list.page(0, 10, null)), ['a k11', 'b ', 'b k11', 'b k12', 'c '])
  t.match(list.page(1, 2, null), { total: 5, offset: 1 })
  t.strictSame(namesOf(list.page(1, 2, null)), ['b ', 'b k11'])
  t.strictSame(namesOf(list.page(0, 10, 'b')), ['b ', 'b k11', 'b k12'])
  t.strictSame(namesOf(list.page(1, 1, 'b')), ['b k11'])
  t.match(list.page(0, 10, 'x'), { total: 0, senders: [] })
  t.end()
})

t.test('a long list is sorted for at most a twentieth of the time', (t) => {
  const { senders, ring, hear } = rigOf()
  let now = 0
  // Each look at the clock takes 30 ms: so long does sorting.
  const list = new SenderList(senders, ring, () => { now += 30; return now })
  hear(0, 'keyed')
  for (let sender = 0; sender < SORTED_AT_ONCE_MAX; sender++) senders.observe(`s${sender}`, 1, 0, '192.0.2.1', 0)
  t.equal(list.page(0, 1, null).total, SORTED_AT_ONCE_MAX + 1)
  hear(0, 'another')
  let pages = 0
  while (list.page(0, 1, null).total === SORTED_AT_ONCE_MAX + 1) pages++
  t.equal(pages, 20 - 1)
  t.strictSame(namesOf(list.page(0, 1, null)), ['another k10'])
  t.end()
})
