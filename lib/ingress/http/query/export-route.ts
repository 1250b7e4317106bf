/**
 * GET /export: points as CSV or NDJSON, however many. The rows come from a connection of this worker, no faster than
 * the client reads them, and stop with it. A failure in the middle cuts the connection, so that nobody takes a part for
 * the whole. The source bounds how many run at a time.
 */
import { Readable, pipeline } from 'node:stream'
import { constants, createGzip } from 'node:zlib'
import { OperatingError } from '../../../support/errors.js'
import type { ErrorExtras } from '../engines/answers.js'
import type { Headers, HttpStream } from '../engines/engine.js'
import type { RouteCall } from '../api/reply.js'
import { CONTENT_TYPES, acceptsGzip, chooseFormat } from './accept.js'
import type { ExportRequest, RequestReader } from './requests.js'

/** What is exported, in pieces of any size. */
export type ExportRows = AsyncIterable<Buffer>

export interface ExportSource {
  /** Rejects with an OperatingError for failures that a client can handle, before or between pieces. */
  open (request: ExportRequest, format: 'csv' | 'ndjson', signal: AbortSignal): ExportRows
  /** For the log: why an export failed. */
  failed (error: unknown): void
}

const FORMATS = ['csv', 'ndjson'] as const
const RETRY_AFTER_SECONDS = 10
/** Those that wait for their turn to be refused included. */
const RUNNING_MAX = 32
/** Compressing harder takes three times as long for a few percent. */
const GZIP_LEVEL = constants.Z_BEST_SPEED

export class Exports {
  private running = 0

  constructor (private readonly source: ExportSource, private readonly reader: RequestReader) {}

  readonly handle = (call: RouteCall): void => {
    const { request } = call
    const read = this.reader.export(request.query)
    if (!read.ok) {
      call.fail('invalid_query', read)
      return
    }
    const format = chooseFormat(request.header('accept'), FORMATS, 'csv')
    const isCompressed = acceptsGzip(request.header('accept-encoding'))
    const headers: Headers = [
      ['content-type', CONTENT_TYPES[format]],
      ['cache-control', 'no-store'],
      ['vary', 'accept, accept-encoding'],
      ['content-disposition', `attachment; filename="telemetry.${format}"`],
      ...isCompressed ? [['content-encoding', 'gzip'] as const] : []
    ]
    if (request.method === 'HEAD') {
      call.reply(200, headers, '')
    } else if (this.running >= RUNNING_MAX) {
      call.fail('too_busy', { retryAfterSeconds: RETRY_AFTER_SECONDS })
    } else {
      this.running++
      const abort = new AbortController()
      const rows = this.source.open(read.value, format, abort.signal)
      void this.run(call, rows, headers, isCompressed, abort).finally(() => { this.running-- })
    }
  }

  /** Answers with an error as long as nothing was sent. */
  private async run (
    call: RouteCall, rows: ExportRows, headers: Headers, isCompressed: boolean, abort: AbortController
  ): Promise<void> {
    const chunks = isCompressed ? compressed(rows) : rows
    const iterator = chunks[Symbol.asyncIterator]()
    let stream: HttpStream | null = null
    try {
      let next = await iterator.next()
      if (call.exchange.aborted) {
        call.counters.aborted++
        return
      }
      call.counters.ok++
      stream = call.exchange.stream(200, headers, () => abort.abort(), 'cut')
      for (; !(next.done ?? false) && !abort.signal.aborted; next = await iterator.next()) {
        // Refused only once the client has gone.
        if (!stream.write(next.value)) break
        await stream.writable()
      }
      if (!abort.signal.aborted) stream.end()
    } catch (error) {
      if (abort.signal.aborted) return
      if (stream !== null) stream.cut()
      else if (error instanceof OperatingError) call.fail(error.code, extrasOf(error))
      else call.fail('internal')
      if (!(error instanceof OperatingError)) this.source.failed(error)
    } finally {
      abort.abort()
      await iterator.return?.().catch(() => undefined)
    }
  }
}

function extrasOf ({ code, message }: OperatingError): ErrorExtras {
  return code === 'too_busy' ? { message, retryAfterSeconds: RETRY_AFTER_SECONDS } : { message }
}

function compressed (rows: ExportRows): AsyncIterable<Buffer> {
  // Errors reach whoever reads the result.
  return pipeline(Readable.from(rows, { objectMode: false }), createGzip({ level: GZIP_LEVEL }), () => {})
}
