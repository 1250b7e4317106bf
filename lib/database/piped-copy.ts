/**
 * Statements and a COPY … FROM STDIN as one Query message, immediately followed by the rows: one round trip in total.
 * pg-copy-streams waits for the server's CopyInResponse and writes every chunk separately, which suits streamed rows
 * but is expensive for small transactions.
 *
 *   Query "statement; …; COPY …" · CopyData · CopyDone ──▶ CommandComplete for each ──▶ ReadyForQuery
 *                                                     └──▶ ErrorResponse: the remaining rows are ignored
 *
 * Source: PostgreSQL manual, "Frontend/Backend Protocol": "Simple Query", "COPY Operations".
 */
import type { Writable } from 'node:stream'

export interface PipedOutcome {
  /** Rows returned or changed by each statement before the COPY; 0 if it does neither. */
  readonly counts: readonly number[]
  /** Rows that the server accepted. */
  readonly copied: number
}

const LENGTH_BYTES = 4
const COPY_DATA = 0x64
const COPY_DONE = Buffer.from([0x63, 0, 0, 0, LENGTH_BYTES])
/** "UPDATE 1", "INSERT 0 5", "COPY 20", "BEGIN". */
const ROWS_OF_TAG = / (\d+)$/

/** The part of a `pg` connection used here. */
interface Wire {
  readonly stream: Writable
  query (text: string): void
}

/** A query object for client.query() of `pg`. */
export class PipedCopy {
  /** Rejects with the server's error, or the connection's. */
  readonly outcome: Promise<PipedOutcome>
  private readonly text: string
  private readonly counts: number[] = []
  private resolve: (outcome: PipedOutcome) => void = () => {}
  private reject: (error: Error) => void = () => {}

  /** @param chunks few and large; must not change until the outcome is known */
  constructor (statements: readonly string[], copySql: string, private readonly chunks: readonly Buffer[]) {
    this.text = [...statements, copySql].join('; ')
    this.outcome = new Promise((resolve, reject) => {
      this.resolve = resolve
      this.reject = reject
    })
  }

  submit (wire: Wire): void {
    const { stream } = wire
    // A lost connection reports its own error.
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

  /** The rows are already on their way. */
  handleCopyInResponse (): void {}

  /** Only the row counts of the statements matter. */
  handleRowDescription (): void {}

  handleDataRow (): void {}
}

function copyDataHead (bytes: number): Buffer {
  const head = Buffer.allocUnsafe(1 + LENGTH_BYTES)
  head[0] = COPY_DATA
  head.writeInt32BE(LENGTH_BYTES + bytes, 1)
  return head
}
