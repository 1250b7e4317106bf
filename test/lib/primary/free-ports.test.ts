/** What is said of ports that the server cannot have. */
import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { createServer, type AddressInfo } from 'node:net'
import t from 'tap'
import { freePorts } from '../../../lib/primary/free-ports.js'
import { StartupError } from '../../../lib/support/startup-error.js'

t.test('port 0 becomes a free one', async (t) => {
  const { port, udpPorts } = await freePorts({ host: '127.0.0.1', port: 0, udpPorts: [0, 0] })
  t.equal(new Set([port > 0, ...udpPorts]).size, 3)
})

t.test('why a port cannot be had, and what to do', async (t) => {
  const tcp = createServer().listen(0, '127.0.0.1')
  const udp = createSocket('udp4').bind(0, '127.0.0.1')
  t.teardown(() => {
    tcp.close()
    udp.close()
  })
  await Promise.all([once(tcp, 'listening'), once(udp, 'listening')])
  const { port } = tcp.address() as AddressInfo
  const udpPort = udp.address().port
  const cases = [
    [{ host: '127.0.0.1', port, udpPorts: [] }, `Port ${port} is in use by another program: stop it`],
    [{ host: '127.0.0.1', port: 0, udpPorts: [udpPort] }, `UDP port ${udpPort} is in use: stop the program`],
    [{ host: '192.0.2.1', port: 0, udpPorts: [] }, '192.0.2.1 is not a local address: set another HOST.']
  ] as const
  for (const [asked, message] of cases) {
    const error = await freePorts(asked).catch((error: unknown) => error)
    t.type(error, StartupError)
    t.match(error, { message })
  }
})
