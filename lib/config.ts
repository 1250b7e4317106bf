/** The effective configuration: every setting resolved, validated once, frozen. */
export interface Config {
  /** Address to listen on. */
  readonly host: string
  /** HTTP port; 0 picks a free one. */
  readonly port: number
  /** HTTP workers. */
  readonly workers: number
  /** Absolute path. */
  readonly dataDir: string
  /** Null: the embedded PostgreSQL under dataDir. */
  readonly databaseUrl: string | null
  /** Rows at which a batch closes. */
  readonly batchSize: number
  readonly batchTimeoutMs: number
  /** Database connections of the whole instance, all processes together. */
  readonly maxConnections: number
  /** Bytes of points that a worker holds in memory while the database is away. */
  readonly memoryMaxBytes: number
  readonly maxBodyBytes: number
  readonly timeWindowPastMs: number
  readonly timeWindowFutureMs: number
  readonly unknownFields: 'reject' | 'ignore'
  /** Empty: no token is asked for. */
  readonly apiTokens: readonly string[]
  readonly logLevel: 'debug' | 'info' | 'warn' | 'error'
  /** Age at which telemetry is dropped. */
  readonly retentionMs: number
  readonly shutdownDeadlineMs: number
  /** Which HTTP engine: uWebSockets.js where it loads, or forced. */
  readonly httpEngine: 'auto' | 'uws' | 'node'
}
