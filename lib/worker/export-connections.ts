/**
 * Where exports come from: a read-only connection for each, opened for it and closed with it, never the one that stores
 * points. It belongs to the worker that serves the export, because the bytes would otherwise cross two processes. The
 * primary grants leases, so that all workers together have a bounded number of connections.
 */
import { constants, setPriority } from 'node:os'
import { isConnectionError, isUnanswered, connect, type LastHost } from '../database/connection.js'
import type { DatabaseConnection } from '../database/database.js'
import { QUERY_SETTINGS } from '../database/query-pool.js'
import type { ExportSource, OpenExport } from '../ingress/http/query/export-route.js'
import type { ExportRequest } from '../ingress/http/query/requests.js'
import {
  csvHeader, exportRows, type ExportFilter, type ExportFormat, type ExportPace
} from '../queries/export-slices.js'
import { OperatingError } from '../support/errors.js'
import type { PrimaryClient } from './primary-client.js'
import type { Log } from '../support/log.js'

const CONNECT_MS_MAX = 5_000
/** A slice has a few megabytes: a client that takes longer to read one is cut off. */
const SLICE_MS_MAX = 60_000

export class ExportConnections implements ExportSource {
  private readonly pace = { share: 1 }
  /** A host that is gone costs one export its timeout, not each. */
  private readonly lastHost: LastHost = { position: 0 }

  constructor (
    private readonly databaseUrl: string,
    private readonly isEmbedded: boolean,
    private readonly leases: Pick<PrimaryClient, 'lease' | 'endLease'>,
    private readonly log: Log
  ) {}

  async open (request: ExportRequest, format: ExportFormat): Promise<OpenExport> {
    if (!await this.leases.lease()) {
      throw new OperatingError('too_busy', 'No more exports may run at the same time; retry when one has finished.')
    }
    let db: DatabaseConnection
    try {
      db = await this.connect()
    } catch (error) {
      this.leases.endLease()
      throw operatingError(error)
    }
    let isOpen = true
    const close = (): void => {
      if (!isOpen) return
      isOpen = false
      db.destroy()
      this.leases.endLease()
    }
    const filter = { ...request, toMicros: request.toMicros ?? Date.now() * 1000 }
    return { rows: rowsFrom(db, filter, format, this.pace), close }
  }

  /** Of its time, what each export may take from now on. */
  useShare (share: number): void {
    this.pace.share = share
  }

  failed (error: unknown): void {
    this.log.error({ err: error }, 'an export failed')
  }

  private async connect (): Promise<DatabaseConnection> {
    const db = await connect(this.databaseUrl, {
      applicationName: 'orbitstream export',
      connectTimeoutMs: CONNECT_MS_MAX,
      statementMsMax: SLICE_MS_MAX,
      lastHost: this.lastHost
    })
    try {
      await db.query(QUERY_SETTINGS)
      if (this.isEmbedded) this.giveWay(db.backendPid)
      return db
    } catch (error) {
      db.destroy()
      throw error
    }
  }

  /** A process of the embedded PostgreSQL runs alongside the workers: it gets what they leave of the processors. */
  private giveWay (pid: number): void {
    try {
      setPriority(pid, constants.priority.PRIORITY_BELOW_NORMAL)
    } catch (error) {
      this.log.debug({ err: error }, 'the priority of an export could not be lowered; it competes with storing points')
    }
  }
}

async function * rowsFrom (
  db: DatabaseConnection, filter: ExportFilter, format: ExportFormat, pace: ExportPace
): AsyncGenerator<Buffer> {
  try {
    if (format === 'csv') yield Buffer.from(csvHeader(filter))
    yield * exportRows(db, filter, format, pace)
  } catch (error) {
    throw operatingError(error)
  }
}

function operatingError (error: unknown): unknown {
  if (isUnanswered(error)) return new OperatingError('query_timeout', undefined, undefined, { cause: error })
  if (!isConnectionError(error)) return error
  return new OperatingError('database_unavailable', undefined, undefined, { cause: error })
}
