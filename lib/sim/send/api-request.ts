/**
 * Questions to the server's API. With node:http: the parser of undici is WebAssembly, which V8 compiles in the
 * background for as much processor time as the simulator needs for thousands of requests.
 */
import { request as requestPlain, type IncomingMessage } from 'node:http'
import { request as requestTls } from 'node:https'
import { text } from 'node:stream/consumers'
import type { ConnectionOptions } from 'node:tls'

interface ApiAnswer {
  readonly status: number
  readonly text: string
}

/** Of this process, for https: roots to trust, and the certificate to present. */
let trust: ConnectionOptions = {}

/** From then on, all questions of this process use the options. */
export function trustForRequests (tls: ConnectionOptions): void {
  trust = tls
}

/**
 * GET, on a connection of its own.
 * @throws the error of the connection, or TimeoutError if the answer is not there whole by then
 */
export async function askApi (
  url: string, timeoutMs: number, headers: Readonly<Record<string, string>> = {}
): Promise<ApiAnswer> {
  const signal = AbortSignal.timeout(timeoutMs)
  const options = { headers, signal, agent: false }
  try {
    const answer = await new Promise<IncomingMessage>((resolve, reject) => {
      const asked = url.startsWith('https:')
        ? requestTls(url, { ...options, ...trust }, resolve)
        : requestPlain(url, options, resolve)
      asked.on('error', reject).end()
    })
    return { status: answer.statusCode ?? 0, text: await text(answer) }
  } catch (error) {
    throw signal.aborted ? signal.reason : error
  }
}
