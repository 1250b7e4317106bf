/** Answers questions about limits and anomalies. Runs in the primary, which alone queries the database for clients. */
import type { DataQuestion, StatusAnswer, TelemetryQuestion } from '../../ingress/http/api/status-port.js'
import type { LimitableMetrics } from '../../limits/limit-set.js'
import { patchMetric } from '../../limits/patch.js'
import { parseLimitSet } from '../../limits/validate.js'
import { queryAnomalies } from '../../queries/anomaly-query.js'
import { readLimitsHistory, type StoredLimits } from '../../queries/limits-store.js'
import type { QueryPool } from '../../database/query-pool.js'
import { listNames } from '../../../protocol/names.js'
import { errorAnswer, jsonAnswer } from '../../ingress/http/engines/answers.js'
import { cursorText, readAnomalyFilter, readHistoryQuery } from './data-query.js'
import type { LimitsDistribution } from '../limits/limits-distribution.js'
import type { LimitsKeeper } from '../limits/limits-keeper.js'
import type { Answers } from './questions.js'

export interface DataServiceParts {
  readonly metrics: LimitableMetrics
  readonly limits: LimitsKeeper
  readonly distribution: LimitsDistribution
  readonly queries: QueryPool
}

/** Questions about limits and anomalies. */
type Kinds = Exclude<DataQuestion['kind'], TelemetryQuestion['kind']>
type QuestionOf<Kind extends Kinds> = Extract<DataQuestion, { readonly kind: Kind }>

/** Attempts of a PATCH without If-Match when other changes get in first. */
const PATCH_TRIES_MAX = 5
const ANY_VERSION = '*'

export class DataService {
  readonly answers: Pick<Answers, Kinds> = {
    limits: async () => await Promise.resolve(this.limitsAnswer(this.parts.limits.current)),
    'limits-history': async ({ query }) => await this.history(query),
    'replace-limits': async (question) => await this.replace(question),
    'patch-limits': async (question) => await this.patch(question),
    anomalies: async ({ query }) => await this.anomalies(query)
  }

  constructor (private readonly parts: DataServiceParts) {}

  private limitsAnswer (limits: StoredLimits): StatusAnswer {
    return jsonAnswer({ ...limitsView(limits), workers: this.parts.distribution.versions() }, [etag(limits.version)])
  }

  private async history (query: string): Promise<StatusAnswer> {
    const read = readHistoryQuery(query)
    if (!read.ok) return errorAnswer('invalid_query', read)
    const { countMax, before } = read.value
    const history = await this.parts.queries.run((db) => readLimitsHistory(db, countMax, before))
    return jsonAnswer({ history: history.map(limitsView) })
  }

  private async replace ({ value, ifMatch, changedBy }: QuestionOf<'replace-limits'>): Promise<StatusAnswer> {
    if (ifMatch === '') return errorAnswer('precondition_required')
    const { metrics, limits } = this.parts
    const parsed = parseLimitSet(value, metrics, limits.current.set)
    if (!parsed.ok) return errorAnswer('invalid_limits', { details: parsed.faults })
    const version = await this.matchedVersion(ifMatch)
    const changed = version === null ? null : await limits.replace(version, parsed.set, changedBy)
    return changed === null ? this.conflict() : await this.changed(changed)
  }

  private async patch ({ metric, value, ifMatch, changedBy }: QuestionOf<'patch-limits'>): Promise<StatusAnswer> {
    const { metrics, limits } = this.parts
    if (!metrics.metrics.includes(metric)) {
      return errorAnswer('not_found', { message: `Unknown metric; known metrics are ${listNames(metrics.metrics)}.` })
    }
    for (let tries = 0; tries < PATCH_TRIES_MAX; tries++) {
      const { version, set } = await limits.latest()
      if (ifMatch !== '' && await this.matchedVersion(ifMatch) !== version) return this.conflict()
      const parsed = parseLimitSet(patchMetric(set, metric, value), metrics, set)
      if (!parsed.ok) return errorAnswer('invalid_limits', { details: parsed.faults })
      const changed = await limits.replace(version, parsed.set, changedBy)
      if (changed !== null) return await this.changed(changed)
      if (ifMatch !== '') break
    }
    return this.conflict()
  }

  /** The version named by If-Match; null: no possible version. */
  private async matchedVersion (ifMatch: string): Promise<number | null> {
    if (ifMatch === ANY_VERSION) return (await this.parts.limits.latest()).version
    const [, digits] = /^(?:W\/)?"?(\d{1,15})"?$/.exec(ifMatch.trim()) ?? []
    return digits === undefined ? null : Number(digits)
  }

  private conflict (): StatusAnswer {
    const { version } = this.parts.limits.current
    const message = `The limits are now at version ${version}; read them again and reapply your change.`
    return errorAnswer('limits_changed', { message, headers: [etag(version)] })
  }

  /** Waits for the workers to confirm, so the answer shows which of them apply the change. */
  private async changed (limits: StoredLimits): Promise<StatusAnswer> {
    await this.parts.distribution.confirmed()
    return this.limitsAnswer(limits)
  }

  private async anomalies (query: string): Promise<StatusAnswer> {
    const read = readAnomalyFilter(query, this.parts.metrics)
    if (!read.ok) return errorAnswer('invalid_query', read)
    const { anomalies, next } = await this.parts.queries.run((db) => queryAnomalies(db, read.value))
    return jsonAnswer({ anomalies, next: next === null ? null : cursorText(next) })
  }
}

function limitsView ({ version, changedAt, changedBy, set }: StoredLimits): object {
  return { version, changed_at: changedAt, changed_by: changedBy, limits: set }
}

function etag (version: number): readonly [string, string] {
  return ['etag', `"${version}"`]
}
