/**
 * TimescaleDB policies derived from the configuration and what streams say of their own in the catalogue: chunk
 * interval, compression, retention, refresh of rollups.
 *
 * Existing policies are compared with the wanted ones; only differences become statements. A policy that differs is
 * removed and added again, so that it equals a new one. Existing chunks keep their interval.
 */
import { DAY_MS, HOUR_MS } from '../config/setting-types.js'
import type { Database } from '../database/database.js'
import type { Stream } from '../../protocol/catalogue.js'
import { streamSql } from '../database/stream-tables.js'
import { anomalyRetention } from './retention.js'

/** What holds for streams without values of their own. An absent setting leaves what there is. */
export interface PolicySettings {
  readonly compressAfterMs?: number
  readonly chunkIntervalMs?: number
  readonly retentionMs?: number
}

interface Policy {
  readonly relation: string
  /** proc_name of timescaledb_information.jobs. */
  readonly procedure: string
  /** Durations in the job's config, in milliseconds. */
  readonly config: Readonly<Record<string, number>>
  /** Between two runs; null: the extension's default. */
  readonly scheduleMs: number | null
  readonly remove: string
  readonly add: string
}

interface Job {
  readonly relation: string
  readonly procedure: string
  readonly config: Readonly<Record<string, number | null>>
  readonly scheduleMs: number | null
}

/** A little more than ROLLUP_LATE_AFTER, so that no row is missed by both the policies and the primary. */
export const REFRESH_FROM_MS = 2.5 * HOUR_MS
/** The views add rows of the last seconds; materialising them too early would do the work twice. */
export const REFRESH_UNTIL_MS = { rollup_10s: 20_000, rollup_1m: 60_000 } as const
const ANOMALIES = 'anomalies'
const ROLLUPS = ['rollup_10s', 'rollup_1m'] as const

type PolicyStream = Pick<Stream, 'name' | 'storage'>

/** What a table is to have; undefined: left unchanged. */
interface TablePlan {
  readonly relation: string
  readonly rollups: ReadonlyArray<{ readonly relation: string, readonly name: typeof ROLLUPS[number] }>
  readonly retentionMs: number | undefined
  readonly compressAfterMs: number | undefined
  readonly chunkIntervalMs: number | undefined
  /** Of telemetry in this table: compression runs twice in it. */
  readonly paceMs: number | undefined
}

/** Statements that apply the configuration, in order; none if nothing differs. */
export async function policyStatements (
  database: Database, streams: readonly PolicyStream[], settings: PolicySettings
): Promise<string[]> {
  const jobs = await readJobs(database)
  const intervals = await chunkIntervals(database)
  const tables = [
    anomaliesPlan(streams, settings, jobs), ...streams.map((stream) => streamPlan(stream, settings, jobs, intervals))
  ]
  const relations = tables.flatMap(({ relation, rollups }) => [relation, ...rollups.map(({ relation }) => relation)])
  const present = await presentRelations(database, relations)
  const isThere = ({ relation }: { readonly relation: string }): boolean => present.size === 0 || present.has(relation)
  return [
    ...tables.filter(isThere).flatMap((table) => intervalChange(table, intervals)),
    ...[
      ...tables.flatMap(compressions),
      ...tables.flatMap(retentions),
      ...tables.flatMap(({ rollups }) => rollups.map(({ relation, name }) => refresh(relation, REFRESH_UNTIL_MS[name])))
    ].filter(isThere).flatMap((policy) => changes(policy, jobs))
  ]
}

function streamPlan (
  { name: stream, storage }: PolicyStream, settings: PolicySettings, jobs: readonly Job[],
  intervals: ReadonlyMap<string, number>
): TablePlan {
  const chunkIntervalMs = storage.chunkIntervalMs ?? settings.chunkIntervalMs
  return {
    relation: stream,
    rollups: ROLLUPS.map((name) => ({ relation: streamSql(name, stream), name })),
    // Rollups that were made anew get the retention of their points.
    retentionMs: storage.retentionMs ?? settings.retentionMs ?? retentionIn(jobs, stream),
    compressAfterMs: storage.compressAfterMs ?? settings.compressAfterMs,
    chunkIntervalMs,
    paceMs: chunkIntervalMs ?? intervals.get(stream)
  }
}

function anomaliesPlan (
  streams: readonly PolicyStream[], settings: PolicySettings, jobs: readonly Job[]
): TablePlan {
  const { retentionMs = retentionIn(jobs, ANOMALIES), compressAfterMs, chunkIntervalMs: paceMs } = settings
  return {
    relation: ANOMALIES,
    rollups: [],
    retentionMs: retentionMs === undefined ? undefined : anomalyRetention(streams, retentionMs),
    compressAfterMs,
    // Anomalies are few: 24 times as long, up to a day.
    chunkIntervalMs: paceMs === undefined ? undefined : Math.max(paceMs, Math.min(24 * paceMs, DAY_MS)),
    paceMs
  }
}

function compressions ({ relation, compressAfterMs, paceMs }: TablePlan): Policy[] {
  return compressAfterMs === undefined ? [] : [compression(relation, compressAfterMs, paceMs)]
}

function retentions ({ relation, rollups, retentionMs }: TablePlan): Policy[] {
  if (retentionMs === undefined) return []
  return [relation, ...rollups.map(({ relation }) => relation)].map((each) => retention(each, retentionMs))
}

function changes (policy: Policy, jobs: readonly Job[]): string[] {
  const job = jobs.find(({ relation, procedure }) => relation === policy.relation && procedure === policy.procedure)
  if (job === undefined) return [policy.add]
  const sameSchedule = policy.scheduleMs === null || job.scheduleMs === policy.scheduleMs
  const sameConfig = Object.entries(policy.config).every(([key, ms]) => job.config[key] === ms)
  return sameSchedule && sameConfig ? [] : [policy.remove, policy.add]
}

/**
 * Runs twice per chunk interval of telemetry, and at least hourly: the extension would not adapt its default schedule.
 */
function compression (relation: string, afterMs: number, chunkIntervalMs: number | undefined): Policy {
  const scheduleMs = chunkIntervalMs === undefined ? null : Math.min(chunkIntervalMs / 2, HOUR_MS)
  const schedule = scheduleMs === null ? '' : `, schedule_interval => ${interval(scheduleMs)}`
  return {
    relation,
    procedure: 'policy_compression',
    config: { compress_after: afterMs },
    scheduleMs,
    remove: `SELECT remove_compression_policy('public.${relation}')`,
    add: `SELECT add_compression_policy('public.${relation}', compress_after => ${interval(afterMs)}${schedule})`
  }
}

function retention (relation: string, afterMs: number): Policy {
  return {
    relation,
    procedure: 'policy_retention',
    config: { drop_after: afterMs },
    scheduleMs: HOUR_MS,
    remove: `SELECT remove_retention_policy('public.${relation}')`,
    add: `SELECT add_retention_policy('public.${relation}', ` +
      `drop_after => ${interval(afterMs)}, schedule_interval => interval '1 hour')`
  }
}

function refresh (relation: string, untilMs: number): Policy {
  return {
    relation,
    procedure: 'policy_refresh_continuous_aggregate',
    config: { start_offset: REFRESH_FROM_MS, end_offset: untilMs },
    scheduleMs: untilMs,
    remove: `SELECT remove_continuous_aggregate_policy('public.${relation}')`,
    add: `SELECT add_continuous_aggregate_policy('public.${relation}', start_offset => ${interval(REFRESH_FROM_MS)}, ` +
      `end_offset => ${interval(untilMs)}, schedule_interval => ${interval(untilMs)})`
  }
}

/** Empty before the first migration: then every policy is wanted. */
async function presentRelations (database: Database, relations: readonly string[]): Promise<Set<string>> {
  const { rows } = await database.query<{ name: string }>(
    "SELECT relname AS name FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relname = ANY ($1)",
    [relations])
  return new Set(rows.map(row => row.name))
}

export async function isInstalled (database: Database): Promise<boolean> {
  return (await database.query("SELECT FROM pg_extension WHERE extname = 'timescaledb'")).rowCount > 0
}

function intervalChange (
  { relation, chunkIntervalMs }: TablePlan, intervals: ReadonlyMap<string, number>
): string[] {
  if (chunkIntervalMs === undefined || intervals.get(relation) === chunkIntervalMs) return []
  return [`SELECT set_chunk_time_interval('public.${relation}', ${interval(chunkIntervalMs)})`]
}

async function chunkIntervals (database: Database): Promise<Map<string, number>> {
  if (!await isInstalled(database)) return new Map()
  const { rows } = await database.query<{ name: string, ms: number }>(`
    SELECT hypertable_name::text AS name, (extract(epoch FROM time_interval) * 1000)::double precision AS ms
    FROM timescaledb_information.dimensions
    WHERE hypertable_schema = 'public' AND dimension_number = 1`)
  return new Map(rows.map(({ name, ms }) => [name, ms]))
}

/** Depending on the version, a rollup's job names the view or the hypertable behind it. */
async function readJobs (database: Database): Promise<Job[]> {
  if (!await isInstalled(database)) return []
  const { rows } = await database.query<Job>(`
    SELECT coalesce(c.view_name, j.hypertable_name)::text AS relation, j.proc_name::text AS procedure,
           (SELECT jsonb_object_agg(key, (extract(epoch FROM value::interval) * 1000)::double precision)
            FROM jsonb_each_text(j.config)
            WHERE key IN ('compress_after', 'drop_after', 'start_offset', 'end_offset')) AS config,
           (extract(epoch FROM j.schedule_interval) * 1000)::double precision AS "scheduleMs"
    FROM timescaledb_information.jobs j
    LEFT JOIN timescaledb_information.continuous_aggregates c
      ON c.materialization_hypertable_schema = j.hypertable_schema
      AND c.materialization_hypertable_name = j.hypertable_name
    WHERE j.hypertable_name IS NOT NULL AND 'public' IN (j.hypertable_schema, c.view_schema)`)
  return rows.map(row => ({ ...row, config: (row.config as Job['config'] | null) ?? {} }))
}

/** Age at which a table's retention policy drops its points; null: it has none. */
export async function readRetentionMs (database: Database, table: string): Promise<number | null> {
  return retentionIn(await readJobs(database), table) ?? null
}

function retentionIn (jobs: readonly Job[], table: string): number | undefined {
  const job = jobs.find(({ relation, procedure }) => relation === table && procedure === 'policy_retention')
  return job?.config['drop_after'] ?? undefined
}

/** The same text for the same duration, whatever its unit was. */
function interval (ms: number): string {
  return `interval '${ms / 1000} seconds'`
}
