/** A server for the transport's tests: responds as a function says, records requests, closes with the test. */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { once } from 'node:events'
import type { Test } from 'tap'

export interface Received {
  readonly method: string | undefined
  readonly path: string | undefined
  readonly headers: IncomingMessage['headers']
  readonly body: string
}

export type Answer = (request: Received, response: ServerResponse) => void

export const accept: Answer = (_request, response) => {
  response.writeHead(202, { 'content-type': 'application/json' }).end('{"status":"accepted"}')
}

/** An error response in the server's format. */
export const refuse = (status: number, code: string, headers: Record<string, string> = {}): Answer =>
  (_request, response) => {
    response.writeHead(status, headers).end(JSON.stringify({ error: { code, message: `Because of ${code}.` } }))
  }

export async function startServer (t: Test, answer: Answer): Promise<{
  url: URL,
  received: Received[],
  server: Server
}> {
  const received: Received[] = []
  const server = createServer((message, response) => {
    let body = ''
    message.setEncoding('utf8')
    message.on('data', (chunk: string) => { body += chunk })
    message.on('end', () => {
      const request = { method: message.method, path: message.url, headers: message.headers, body }
      if (message.method === 'POST') received.push(request)
      answer(request, response)
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => {
    server.closeAllConnections()
    server.close()
  })
  return { url: new URL(`http://127.0.0.1:${(server.address() as AddressInfo).port}`), received, server }
}
