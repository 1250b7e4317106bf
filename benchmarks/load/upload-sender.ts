/**
 * Large uploads, each on a connection of its own, with a token: right ones are stored, wrong ones are refused before
 * their body is read. The whole body is handed to the kernel at once, as a client does that does not wait.
 */
import { connect } from 'node:net'
import { readAnswer } from '../../lib/sim/send/http-answer.js'
import { wideJson } from '../wide/wide-points.js'
import type { PointSet, Wide } from '../points.js'
import { serveLoad } from './child.js'

export interface UploadJob {
  readonly port: number
  readonly token: string
  readonly uploads: number
  /** At the same time. */
  readonly connections: number
  /** The one body that all send, without times. */
  readonly points: PointSet & { readonly wide: Wide }
}

export interface UploadResult {
  /** Answers by status; 0: the connection ended without one. */
  readonly statuses: Readonly<Record<string, number>>
  readonly bodyBytes: number
}

const BUSY_PAUSE_MS = 50

/** Resolves with the status. */
async function upload (port: number, head: string, body: Buffer): Promise<number> {
  return await new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1')
    let answered = Buffer.alloc(0)
    let status = 0
    socket.once('connect', () => {
      socket.write(head)
      socket.write(body)
    })
    socket.on('data', (chunk: Buffer) => {
      answered = Buffer.concat([answered, chunk])
      const answer = readAnswer(answered)
      if (typeof answer === 'string') return
      status = answer.status
      socket.destroy()
    })
    socket.on('error', () => {})
    socket.once('close', () => resolve(status))
  })
}

serveLoad<UploadResult>(({ port, token, uploads, connections, points }: UploadJob) => {
  const body = Buffer.from(wideJson(points, points.wide, 0, ''))
  const head = `POST /telemetry/batch HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer ${token}\r\n` +
    `Content-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n`
  const statuses: Record<string, number> = {}
  let left = uploads
  const lane = async (): Promise<void> => {
    while (left-- > 0) {
      for (;;) {
        const status = await upload(port, head, body)
        statuses[status] = (statuses[status] ?? 0) + 1
        // Asked to wait: the same one again.
        if (status !== 429 && status !== 503) break
        await new Promise((resolve) => { setTimeout(resolve, BUSY_PAUSE_MS) })
      }
    }
  }
  return Promise.resolve({
    run: async () => {
      await Promise.all(Array.from({ length: connections }, lane))
      return { statuses, bodyBytes: body.length }
    }
  })
})
