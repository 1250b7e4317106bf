import t from 'tap'
import { once } from 'node:events'
import { createServer, type AddressInfo, type Socket } from 'node:net'
import { codeOf, isComplete, RawConnection, statusOf } from '../../../benchmarks/load/raw-connection.js'

const bytes = (text: string): Buffer => Buffer.from(text)

t.test('knows the end of an answer: length in any case, chunks, none', t => {
  t.ok(isComplete(bytes('HTTP/1.1 202 Accepted\r\nContent-Length: 2\r\n\r\nok')))
  t.ok(isComplete(bytes('HTTP/1.1 202 Accepted\r\ncontent-length:2\r\n\r\nok')))
  t.notOk(isComplete(bytes('HTTP/1.1 202 Accepted\r\ncontent-length: 3\r\n\r\nok')))
  t.notOk(isComplete(bytes('HTTP/1.1 202 Accepted\r\ncontent-le')))
  t.notOk(isComplete(bytes('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n')))
  t.ok(isComplete(bytes('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n')))
  t.ok(isComplete(bytes('HTTP/1.1 204 No Content\r\nServer: x\r\n\r\n')))
  t.equal(statusOf(bytes('HTTP/1.1 503 Busy\r\n\r\n')), 503)
  t.equal(codeOf(bytes('HTTP/1.1 503 Busy\r\n\r\n{"error":{"code":"spool_failed","message":"…"}}')), 'spool_failed')
  t.equal(codeOf(bytes('HTTP/1.1 503 Busy\r\n\r\n')), '')
  t.end()
})

t.test('reads an answer that comes in pieces, and the loss of the connection as 0', async t => {
  const server = createServer().listen(0, '127.0.0.1')
  t.teardown(() => server.close())
  await once(server, 'listening')
  const accepted = once(server, 'connection')
  const connection = await RawConnection.open('127.0.0.1', (server.address() as AddressInfo).port)
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

  // An answer like the last one, and one that only begins like it.
  for (const [whole, status] of [['HTTP/1.1 202 Accepted\r\nContent-Length: 4\r\n\r\ndone', 202], ['HTTP/1.1 202 Accepted\r\nContent-Length: 4\r\n\r\ndone', 202], ['HTTP/1.1 429 Too Many\r\nContent-Length: 4\r\n\r\ndone', 429]] as const) {
    const next = answer()
    connection.send(bytes('POST / HTTP/1.1\r\n\r\n'))
    await once(socket, 'data')
    socket.write(whole)
    t.equal(await next, status)
  }

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

t.test('rejects where nobody listens', async t => {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  await once(server, 'close')
  await t.rejects(RawConnection.open('127.0.0.1', port))
})
