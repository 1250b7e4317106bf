import t from 'tap'
import { once } from 'node:events'
import { createServer, type AddressInfo, type Socket } from 'node:net'
import { RawConnection } from '../../../benchmarks/load/raw-connection.js'

const bytes = (text: string): Buffer => Buffer.from(text)

t.test('reads a response in pieces, and reports a lost connection as 0', async t => {
  const server = createServer().listen(0, '127.0.0.1')
  t.teardown(() => server.close())
  await once(server, 'listening')
  const accepted = once(server, 'connection')
  const connection = await RawConnection.open({ host: '127.0.0.1', port: (server.address() as AddressInfo).port })
  const [socket] = await accepted as [Socket]
  t.teardown(() => connection.close())
  const answer = async (): Promise<number> => await new Promise((resolve) => { connection.onAnswer = resolve })

  const first = answer()
  connection.send(bytes('POST / HTTP/1.1\r\n\r\n'))
  await once(socket, 'data')
  socket.write('HTTP/1.1 202 Accepted\r\nContent-Len')
  socket.write('gth: 4\r\n\r\ndo')
  setImmediate(() => socket.write('ne'))
  t.equal(await first, 202)

  // A response equal to the previous one, and one with the same start.
  for (const [whole, status] of [
    ['HTTP/1.1 202 Accepted\r\nContent-Length: 4\r\n\r\ndone', 202],
    ['HTTP/1.1 202 Accepted\r\nContent-Length: 4\r\n\r\ndone', 202],
    ['HTTP/1.1 429 Too Many\r\nContent-Length: 4\r\n\r\ndone', 429]
  ] as const) {
    const next = answer()
    connection.send(bytes('POST / HTTP/1.1\r\n\r\n'))
    await once(socket, 'data')
    socket.write(whole)
    t.equal(await next, status)
  }

  let code = ''
  const refused = new Promise<void>((resolve) => {
    connection.onAnswer = (_status, named) => {
      code = named
      resolve()
    }
  })
  connection.send(bytes('POST / HTTP/1.1\r\n\r\n'))
  await once(socket, 'data')
  socket.write('HTTP/1.1 503 Busy\r\nContent-Length: 31\r\n\r\n{"error":{"code":"spool_full"}}')
  await refused
  t.equal(code, 'spool_full')

  const second = answer()
  connection.send(bytes('POST / HTTP/1.1\r\n\r\n'))
  await once(socket, 'data')
  socket.destroy()
  t.equal(await second, 0)
  t.ok(connection.isLost)
  const third = answer()
  connection.send(bytes('x'))
  t.equal(await third, 0)
})

t.test('rejects if nothing is listening', async t => {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  await once(server, 'close')
  await t.rejects(RawConnection.open({ host: '127.0.0.1', port }))
})
