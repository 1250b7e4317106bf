/** What a connection to PostgreSQL can do; connection.ts makes them. */
import type { PipedOutcome } from './piped-copy.js'

export interface QueryOutcome<Row> {
  readonly rows: Row[]
  /** Rows returned or changed. */
  readonly rowCount: number
}

/** What statements need, whichever stream they are for: see inStream(). */
export interface Session {
  /** False once the connection is lost, closed or destroyed. */
  readonly alive: boolean
  /**
   * Runs one statement, or several without values, and resolves with the outcome of the last.
   * Rejects with the server's error, or with one that isConnectionError recognises.
   */
  query <Row extends object = Record<string, unknown>> (
    text: string, values?: readonly unknown[]
  ): Promise<QueryOutcome<Row>>
}

export interface Database extends Session {
  /** Process id of the server's backend. */
  readonly backendPid: number
  /**
   * Statements without values, if any, then COPY … FROM STDIN, in one round trip. The rows are sent regardless of the
   * statements' results; ROLLBACK undoes them. If the server refuses a statement or a row, it skips the remaining rows
   * and the session stays usable; any other error destroys the connection.
   * @param chunks few and large; must not change until the promise settles
   */
  copyAfter (statements: readonly string[], sql: string, chunks: readonly Buffer[]): Promise<PipedOutcome>
  /** Called at most once, when the server or the network ends the connection; not after close() or destroy(). */
  onLost: (error: Error) => void
  /** Waits for the current statement and closes the session; cuts the connection after CLOSE_DEADLINE_MS. */
  close (): Promise<void>
  /** Cuts the connection at once; the current statement rejects. */
  destroy (): void
}

/** A connection made by connect(). */
export interface DatabaseConnection extends Database {
  /** Calls back for each NOTIFY on the channel as long as the connection lives. @param channel a plain SQL name */
  listen (channel: string, onNotice: (payload: string) => void): Promise<void>
  /**
   * COPY … TO STDOUT: the bytes as the server sends them, no faster than they are read. An error of the server or the
   * network, and not reading to the end, cost the connection. Begins with the first read; rejects as query() does.
   */
  copyOut (sql: string): AsyncIterable<Buffer>
}
