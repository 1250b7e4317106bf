/** An HTTP server that decodes points as the product does, then drops them: the minimum cost of HTTP and decoding. */
import { App, us_listen_socket_close as closeListener, type us_listen_socket as Listener } from 'uWebSockets.js'
import { PointColumns } from '../../protocol/columns.js'
import { BUILT_IN } from '../../protocol/catalogue.js'
import { decodeJsonBatch, decodeJsonPoint } from '../../protocol/json/json.js'
import { SatelliteTable } from '../../protocol/satellites.js'
import { serveLoad } from './child.js'

export interface DropJob {
  /** Shared by several servers. */
  readonly port: number
}

export interface DropResult {
  readonly points: number
}

const RULES = { timeWindowPastMs: 30 * 86_400_000, timeWindowFutureMs: 300_000, unknownFields: 'reject' } as const

serveLoad<DropResult>(async ({ port }: DropJob) => {
  const columns = new PointColumns(BUILT_IN.telemetry.schema)
  const satellites = new SatelliteTable()
  let points = 0
  let finish: () => void = () => {}
  const app = App()
  app.post('/*', (res, req) => {
    const decode = req.getUrl().endsWith('batch') ? decodeJsonBatch : decodeJsonPoint
    const chunks: Buffer[] = []
    res.onAborted(() => {})
    res.onData((chunk, last) => {
      const bytes = Buffer.from(chunk)
      if (!last) {
        chunks.push(Buffer.from(bytes))
        return
      }
      const body = chunks.length === 0 ? bytes : Buffer.concat([...chunks, bytes])
      const fault = decode(body, Date.now() * 1000, RULES, satellites, columns)
      points += columns.count
      satellites.keep()
      res.cork(() => res.writeStatus(fault === null ? '202 Accepted' : '400 Bad Request').end('{"status":"accepted"}'))
    })
  })
  const listener = await new Promise<Listener | false>((resolve) => app.listen('127.0.0.1', port, resolve))
  if (listener === false) throw new Error(`cannot listen on ${port}`)
  return {
    run: async () => {
      await new Promise<void>((resolve) => { finish = resolve })
      closeListener(listener)
      return { points }
    },
    finish: () => finish()
  }
})
