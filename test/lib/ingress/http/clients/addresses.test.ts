/** Who a client is. */
import t from 'tap'
import { ClientAddresses, plain } from '../../../../../lib/ingress/http/clients/addresses.js'
import { ConnectionsByAddress } from '../../../../../lib/ingress/http/clients/connections.js'

function of (addresses: ClientAddresses, address: string, forwarded = ''): string {
  return addresses.of({ address: () => address, header: () => forwarded })
}

t.test('without proxies nobody is believed, and a network of IPv6 is one client', (t) => {
  const addresses = new ClientAddresses([])
  const cases = [
    ['192.0.2.1', '192.0.2.1'],
    ['::ffff:192.0.2.1', '192.0.2.1'],
    ['0000:0000:0000:0000:0000:ffff:c000:0201', '192.0.2.1'],
    ['2001:db8:0:1:2:3:4:5', '2001:db8:0:1::/64'],
    ['2001:0db8:0000:0001:0000:0000:0000:0009', '2001:db8:0:1::/64'],
    ['::1', '0:0:0:0::/64'],
    ['fe80::1%eth0', 'fe80:0:0:0::/64'],
    ['', '']
  ] as const
  for (const [address, client] of cases) t.equal(of(addresses, address, '198.51.100.7'), client, address)
  t.end()
})

t.test('behind trusted proxies: the last address that none of them has', (t) => {
  const addresses = new ClientAddresses(['10.0.0.0/8', '2001:db8:ffff::/48', '192.0.2.9'])
  const cases = [
    ['198.51.100.1', '203.0.113.5', '198.51.100.1'],
    ['10.1.2.3', '203.0.113.5', '203.0.113.5'],
    ['::ffff:10.1.2.3', '203.0.113.5', '203.0.113.5'],
    ['192.0.2.9', '1.1.1.1, 203.0.113.5 , 10.0.0.1,2001:db8:ffff::1', '203.0.113.5'],
    ['10.1.2.3', '203.0.113.5:4711', '203.0.113.5'],
    ['10.1.2.3', '[2001:db8::1]:4711', '2001:db8:0:0::/64'],
    ['10.1.2.3', '', '10.1.2.3'],
    ['10.1.2.3', '203.0.113.5, unknown', '10.1.2.3'],
    ['10.1.2.3', '203.0.113.5, 10.0.0.7, ::ffff:10.0.0.8', '203.0.113.5'],
    ['10.1.2.3', Array<string>(1000).fill('10.0.0.1').join(), '10.0.0.1']
  ] as const
  for (const [address, forwarded, client] of cases) t.equal(of(addresses, address, forwarded), client, forwarded)
  t.equal(plain('::ffff:c000:201'), '192.0.2.1')
  t.end()
})

t.test('connections are counted by address, but not those of proxies', (t) => {
  const connections = new ConnectionsByAddress(2, new ClientAddresses(['10.0.0.1']))
  t.ok(connections.open('192.0.2.1'))
  t.ok(connections.open('192.0.2.1'))
  t.notOk(connections.open('192.0.2.1'))
  connections.close('192.0.2.1')
  t.ok(connections.open('192.0.2.2'))
  t.notOk(connections.open('192.0.2.1'))
  connections.close('192.0.2.1')
  connections.close('192.0.2.1')
  t.ok(connections.open('192.0.2.1'))
  for (let count = 0; count < 10; count++) t.ok(connections.open('::ffff:10.0.0.1'))
  t.end()
})

t.test('connections of a network of IPv6 count together, as do the two forms of an address of IPv4', (t) => {
  const connections = new ConnectionsByAddress(2, new ClientAddresses([]))
  t.ok(connections.open('2001:db8:0:1::1'))
  t.ok(connections.open('2001:db8:0:1:ffff::2'))
  t.notOk(connections.open('2001:db8:0:1::3'))
  t.ok(connections.open('2001:db8:0:2::1'), 'another network')
  connections.close('2001:db8:0:1::3')
  connections.close('2001:db8:0:1::1')
  t.ok(connections.open('2001:db8:0:1::4'))
  t.ok(connections.open('192.0.2.1'))
  t.ok(connections.open('::ffff:192.0.2.1'))
  t.notOk(connections.open('192.0.2.1'))
  t.end()
})
