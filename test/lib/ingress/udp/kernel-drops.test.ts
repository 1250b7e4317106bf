import t from 'tap'
import { KernelDrops, parseSocketTable } from '../../../../lib/ingress/udp/kernel-drops.js'

t.test('lines of /proc/net/udp and udp6', t => {
  const state = '07 00000000:00000000 00:00000000 00000000  1000        0'
  const [loopback6, any6] = ['00000000000000000000000001000000', '00000000000000000000000000000000']
  const text = [
    '   sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout' +
      ' inode ref pointer drops',
    `  414: 0100007F:1F91 00000000:0000 ${state} 123456 2 0000000000000000 789`,
    `  414: ${loopback6}:1F92 ${any6}:0000 ${state} 99 2 0000000000000000 0`,
    ''
  ].join('\n')
  t.strictSame(parseSocketTable(text), [
    { port: 8081, inode: '123456', drops: 789 },
    { port: 8082, inode: '99', drops: 0 }
  ])
  t.strictSame(parseSocketTable(''), [])
  t.end()
})

t.test('the drops of a port that this process has not opened are unknown', async t => {
  t.equal(await new KernelDrops(1).read(), null)
})
