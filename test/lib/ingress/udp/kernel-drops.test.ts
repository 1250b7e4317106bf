import t from 'tap'
import { KernelDrops, parseSocketTable } from '../../../../lib/ingress/udp/kernel-drops.js'

t.test('lines of /proc/net/udp and udp6', t => {
  const text = [
    '   sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops',
    '  414: 0100007F:1F91 00000000:0000 07 00000000:00000000 00:00000000 00000000  1000        0 123456 2 0000000000000000 789',
    '  414: 00000000000000000000000001000000:1F92 00000000000000000000000000000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 99 2 0000000000000000 0',
    ''
  ].join('\n')
  t.strictSame(parseSocketTable(text), [{ port: 8081, inode: '123456', drops: 789 }, { port: 8082, inode: '99', drops: 0 }])
  t.strictSame(parseSocketTable(''), [])
  t.end()
})

t.test('a port that this process does not hold is not known', async t => {
  t.equal(await new KernelDrops(1).read(), null)
})
