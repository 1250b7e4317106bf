/** What is wrong, for the banner. */
export interface Problem {
  /** Text of its own for each code that can occur more than once. */
  readonly key: string
  readonly level: 'critical' | 'warning'
  /** A plain sentence; '' for a code that this page does not know. */
  readonly title: string
  /** The server's own words, from outside in part: only ever shown as text. */
  readonly detail: string
  /** Milliseconds since 1970, by the server's clock. */
  readonly sinceMs: number
}

/** The event `problems`. */
export type ProblemsEvent = ReadonlyArray<{
  readonly code: string
  readonly message: string
  readonly since_ms: number
}>

/** Points are not stored, or soon will not be accepted. */
const CRITICAL: ReadonlySet<string> = new Set(['worker_down', 'spool_full', 'database_away', 'ledger_fault'])

const TITLES: Readonly<Record<string, string>> = {
  worker_down: 'A worker is down',
  worker_restarted: 'A worker has just been restarted',
  spool_nearly_full: 'The spool is nearly full',
  spool_full: 'The spool is full; new points are refused',
  worker_complaint: 'A worker reports a problem',
  database_away: 'The database is unavailable; points stay queued and will be stored when it returns',
  ledger_fault: 'Ledger fault; a worker stores nothing until an operator intervenes',
  starting: 'The server is waiting for the database',
  maintenance_failing: 'Database maintenance is failing',
  rollups_overdue: 'Rollups are overdue',
  rollups_failed: 'Some rollups have failed',
  rollups_filling: 'Rollups are being filled',
  limits_not_in_force: 'Some workers do not apply the current limits yet',
  not_reloaded: 'A reload has taken effect only in part',
  certificate_expired: 'The TLS certificate has expired',
  not_replaced: 'A rolling restart stopped',
  udp_open: 'UDP accepts points without a key'
}

export function problemsOf (event: ProblemsEvent): Problem[] {
  return event.map(({ code, message, since_ms: sinceMs }, index) => ({
    key: `${code} ${index}`,
    level: CRITICAL.has(code) ? 'critical' : 'warning',
    title: TITLES[code] ?? '',
    detail: message,
    sinceMs
  }))
}
