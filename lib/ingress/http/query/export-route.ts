/**
 * GET /export: points as CSV or NDJSON, however many. The rows come from a connection of this worker, no faster than
 * the client reads them, and stop with it. A failure once it has begun cuts the connection, so that nobody takes a part
 * for the whole. The source bounds how many run at a time.
 */
import { Readable, pipeline } from 'node:stream'
import { constants, createGzip } from 'node:zlib'
import { OperatingError } from '../../../support/errors.js'
import type { ErrorExtras } from '../engines/answers.js'
import type { Headers } from '../engines/engine.js'
import type { RouteCall } from '../api/reply.js'
import type { TokenCheck } from '../api/tokens.js'
import { CONTENT_TYPES, acceptsGzip, chooseFormat } from './answer-format.js'
import type { ExportRequest, RequestReader } from './requests.js'

/** An export that can begin. */
export interface OpenExport {
  /** What is exported, in pieces of any size. Rejects with an OperatingError for failures of the database. */
  readonly rows: AsyncIterable<Buffer>
  /** Must follow. Ends it at once, also while rows are awaited. */
  close (): void
}

export interface ExportSource {
  /** Resolves once everything that the export needs is there; rejects with an OperatingError if it cannot begin. */
  open (request: ExportRequest, format: 'csv' | 'ndjson'): Promise<OpenExport>
  /** For the log: why an export failed. */
  failed (error: unknown): void
}

const FORMATS = ['csv', 'ndjson'] as const
const RETRY_AFTER_SECONDS = 10
/** How often the token is checked again. */
const TOKEN_CHECK_MS = 5_000
/** Those that wait for their turn to be refused included. */
const RUNNING_MAX = 32
/** Compressing harder takes three times as long for a few percent. */
const GZIP_LEVEL = constants.Z_BEST_SPEED

/** What the handler read from the request, which is valid only until it returns. */
interface Answer {
  readonly headers: Headers
  readonly isCompressed: boolean
  readonly authorization: string
}

export class Exports {
  private running = 0

  constructor (
    private readonly source: ExportSource, private readonly reader: RequestReader, private readonly tokens: TokenCheck
  ) {}

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
      ['content-disposition', `attachment; filename="${read.value.stream.name}.${format}"`],
      ...isCompressed ? [['content-encoding', 'gzip'] as const] : []
    ]
    if (request.method === 'HEAD') {
      call.reply(200, headers, '')
    } else if (this.running >= RUNNING_MAX) {
      call.fail('too_busy', { retryAfterSeconds: RETRY_AFTER_SECONDS })
    } else {
      this.running++
      const answer = { headers, isCompressed, authorization: request.header('authorization') }
      void this.run(call, this.source.open(read.value, format), answer).finally(() => { this.running-- })
    }
  }

  private async run (call: RouteCall, opening: Promise<OpenExport>, answer: Answer): Promise<void> {
    let source: OpenExport
    try {
      source = await opening
    } catch (error) {
      this.refuse(call, error)
      return
    }
    try {
      await this.send(call, source, answer)
    } finally {
      source.close()
    }
  }

  private refuse (call: RouteCall, error: unknown): void {
    if (error instanceof OperatingError) {
      call.fail(error.code, extrasOf(error))
    } else {
      call.fail('internal')
      this.source.failed(error)
    }
  }

  /** The stream begins before the first row is there: only a stream knows that its client has gone. */
  private async send (call: RouteCall, source: OpenExport, answer: Answer): Promise<void> {
    const { exchange, counters } = call
    const { headers, isCompressed, authorization } = answer
    if (exchange.aborted) {
      counters.aborted++
      return
    }
    counters.ok++
    const state = { isOver: false }
    const end = (): void => {
      state.isOver = true
      source.close()
    }
    const stream = exchange.stream(200, headers, end, 'cut')
    const recheck = setInterval(() => {
      if (typeof this.tokens.check({ header: () => authorization }, 'read') !== 'string') return
      stream.cut()
      end()
    }, TOKEN_CHECK_MS)
    try {
      for await (const chunk of isCompressed ? compressed(source.rows) : source.rows) {
        // Refused only once the client has gone.
        if (state.isOver || !stream.write(chunk)) return
        await stream.writable()
      }
      if (!state.isOver) stream.end()
    } catch (error) {
      if (state.isOver) return
      stream.cut()
      if (!(error instanceof OperatingError)) this.source.failed(error)
    } finally {
      clearInterval(recheck)
    }
  }
}

function extrasOf ({ code, message }: OperatingError): ErrorExtras {
  return code === 'too_busy' ? { message, retryAfterSeconds: RETRY_AFTER_SECONDS } : { message }
}

function compressed (rows: AsyncIterable<Buffer>): AsyncIterable<Buffer> {
  // Errors reach whoever reads the result.
  return pipeline(Readable.from(rows, { objectMode: false }), createGzip({ level: GZIP_LEVEL }), () => {})
}
