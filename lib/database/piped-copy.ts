/**
 * Statements and a COPY … FROM STDIN as one message of text, with the rows right behind it: one round trip for all.
 * pg-copy-streams waits for the server to ask for the rows, and writes each piece by itself; that is right for rows that
 * are made on the way, and dear for a transaction of a few.
 *
 *   Query "statement; …; COPY …" · CopyData · CopyDone ──▶ CommandComplete for each ──▶ ReadyForQuery
 *                                                     └──▶ ErrorResponse: what follows of the rows is ignored
 *
 * Source: PostgreSQL manual, "Frontend/Backend Protocol": "Simple Query", "COPY Operations".
 */
import type { Writable } from 'node:stream'

/** What came of it. */
export interface PipedOutcome {
  /** Rows that each of the statements before COPY returned or changed; 0 for those that do neither. */
  readonly counts: readonly number[]
  /** Rows that the server took. */
  readonly copied: number
}

const LENGTH_BYTES = 4
const COPY_DATA = 0x64
const COPY_DONE = Buffer.from([0x63, 0, 0, 0, LENGTH_BYTES])
/** "UPDATE 1", "INSERT 0 5", "COPY 20", "BEGIN". */
const ROWS_OF_TAG = / (\d+)$/

/** What is needed of a connection of `pg`. */
interface Wire {
  readonly stream: Writable
  query (text: string): void
}

/** A query for client.query() of `pg`. */
export class PipedCopy {
  /** Rejects with the server's error, or the connection's. */
  readonly outcome: Promise<PipedOutcome>
  private readonly text: string
  private readonly counts: number[] = []
  private resolve: (outcome: PipedOutcome) => void = () => {}
  private reject: (error: Error) => void = () => {}

  /** @param chunks few and large; they must stay as they are until the end */
  constructor (statements: readonly string[], copySql: string, private readonly chunks: readonly Buffer[]) {
    this.text = [...statements, copySql].join('; ')
    this.outcome = new Promise((resolve, reject) => {
      this.resolve = resolve
      this.reject = reject
    })
  }

  submit (wire: Wire): void {
    const { stream } = wire
    // A connection that is gone says so by itself.
    if (!stream.writable) return
    stream.cork()
    wire.query(this.text)
    for (const chunk of this.chunks) {
      stream.write(copyDataHead(chunk.length))
      stream.write(chunk)
    }
    stream.write(COPY_DONE)
    stream.uncork()
  }

  handleCommandComplete ({ text }: { text: string }): void {
    this.counts.push(Number(ROWS_OF_TAG.exec(text)?.[1] ?? 0))
  }

  handleReadyForQuery (): void {
    const copied = this.counts.pop() ?? 0
    this.resolve({ counts: this.counts, copied })
  }

  handleError (error: Error): void {
    this.reject(error)
  }

  /** The rows are on their way. */
  handleCopyInResponse (): void {}

  /** Of the statements only the number of rows counts. */
  handleRowDescription (): void {}

  handleDataRow (): void {}
}

function copyDataHead (bytes: number): Buffer {
  const head = Buffer.allocUnsafe(1 + LENGTH_BYTES)
  head[0] = COPY_DATA
  head.writeInt32BE(LENGTH_BYTES + bytes, 1)
  return head
}
