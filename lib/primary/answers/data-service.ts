/** Answers what clients ask about limits and anomalies, in the primary, whose connections alone serve clients. */
import { ERRORS, OperatingError, type ErrorCode } from '../../support/errors.js'
import type { Headers } from '../../ingress/http/engines/engine.js'
import type { DataQuestion, StatusAnswer } from '../../ingress/http/api/status-port.js'
import type { LimitSet } from '../../limits/limit-set.js'
import { patchMetric } from '../../limits/patch.js'
import { parseLimitSet } from '../../limits/validate.js'
import type { Log } from '../../support/log.js'
import { queryAnomalies } from '../../queries/anomaly-query.js'
import { readLimitsHistory, type StoredLimits } from '../../queries/limits-store.js'
import type { QueryConnection } from '../../database/query-connection.js'
import { TELEMETRY } from '../../../protocol/metrics.js'
import { listNames } from '../../../protocol/schema.js'
import { cursorText, readAnomalyFilter, readHistoryQuery } from './data-query.js'
import type { LimitsDistribution } from '../limits-distribution.js'
import type { LimitsKeeper } from '../limits-keeper.js'

export interface DataDeskParts {
  readonly limits: LimitsKeeper
  readonly distribution: LimitsDistribution
  readonly queries: QueryConnection
  readonly log: Log
}

/** Times that a PATCH without If-Match begins anew when somebody else was faster. */
const PATCH_TRIES_MAX = 5
const ANY_VERSION = '*'

export class DataDesk {
  constructor (private readonly parts: DataDeskParts) {}

  /** Never rejects: what cannot be answered is an answer too. */
  async answer (question: DataQuestion): Promise<StatusAnswer> {
    try {
      return await this.find(question)
    } catch (error) {
      if (error instanceof OperatingError) return errorAnswer(error.code, error.message)
      this.parts.log.error({ err: error, question: question.kind }, 'a question could not be answered')
      return errorAnswer('internal')
    }
  }

  private async find (question: DataQuestion): Promise<StatusAnswer> {
    switch (question.kind) {
      case 'limits': return this.limitsAnswer(this.parts.limits.current)
      case 'limits-history': return await this.history(question.query)
      case 'replace-limits': return await this.replace(question)
      case 'patch-limits': return await this.patch(question)
      case 'anomalies': return await this.anomalies(question.query)
    }
  }

  private limitsAnswer (limits: StoredLimits): StatusAnswer {
    return jsonAnswer({ ...limitsView(limits), workers: this.parts.distribution.versions() }, [etag(limits.version)])
  }

  private async history (query: string): Promise<StatusAnswer> {
    const read = readHistoryQuery(query)
    if (!read.ok) return errorAnswer('invalid_query', read.message)
    const { countMax, before } = read.value
    const history = await this.parts.queries.run((db) => readLimitsHistory(db, countMax, before))
    return jsonAnswer({ history: history.map(limitsView) })
  }

  private async replace ({ value, ifMatch, changedBy }: Extract<DataQuestion, { kind: 'replace-limits' }>): Promise<StatusAnswer> {
    if (ifMatch === '') return errorAnswer('precondition_required')
    const parsed = parseLimitSet(value, TELEMETRY, this.parts.limits.current.set)
    if (!parsed.ok) return errorAnswer('invalid_limits', undefined, { details: parsed.faults })
    const version = await this.matchedVersion(ifMatch)
    const changed = version === null ? null : await this.parts.limits.replace(version, parsed.set, changedBy)
    return changed === null ? this.lost() : await this.changedAnswer(changed)
  }

  private async patch ({ metric, value, ifMatch, changedBy }: Extract<DataQuestion, { kind: 'patch-limits' }>): Promise<StatusAnswer> {
    if (!TELEMETRY.metrics.includes(metric)) return errorAnswer('not_found', `There is no metric of this name; there are ${listNames(TELEMETRY.metrics)}.`)
    for (let tries = 0; tries < PATCH_TRIES_MAX; tries++) {
      const { version, set } = await this.parts.limits.latest()
      if (ifMatch !== '' && await this.matchedVersion(ifMatch) !== version) return this.lost()
      const parsed = parseLimitSet(patchMetric(set, metric, value), TELEMETRY, set)
      if (!parsed.ok) return errorAnswer('invalid_limits', undefined, { details: parsed.faults })
      const changed = await this.parts.limits.replace(version, parsed.set satisfies LimitSet, changedBy)
      if (changed !== null) return await this.changedAnswer(changed)
      if (ifMatch !== '') break
    }
    return this.lost()
  }

  /** The version that If-Match names; null: none that can be. */
  private async matchedVersion (ifMatch: string): Promise<number | null> {
    if (ifMatch === ANY_VERSION) return (await this.parts.limits.latest()).version
    const [, digits] = /^(?:W\/)?"?(\d{1,15})"?$/.exec(ifMatch.trim()) ?? []
    return digits === undefined ? null : Number(digits)
  }

  private lost (): StatusAnswer {
    const { version } = this.parts.limits.current
    return errorAnswer('limits_changed', `The limits are at version ${version} now; read them again, and make the change from there.`, { headers: [etag(version)] })
  }

  /** Waits for the workers, so that who reads it knows since when they judge by it. */
  private async changedAnswer (limits: StoredLimits): Promise<StatusAnswer> {
    const workers = await this.parts.distribution.confirmed()
    return jsonAnswer({ ...limitsView(limits), workers }, [etag(limits.version)])
  }

  private async anomalies (query: string): Promise<StatusAnswer> {
    const read = readAnomalyFilter(query)
    if (!read.ok) return errorAnswer('invalid_query', read.message)
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

function jsonAnswer (value: object, headers: Headers = []): StatusAnswer {
  return { status: 200, contentType: 'application/json', headers, body: JSON.stringify(value) + '\n' }
}

function errorAnswer (code: ErrorCode, message?: string, extras: { readonly details?: readonly object[], readonly headers?: Headers } = {}): StatusAnswer {
  const { status, retryable, message: usual } = ERRORS[code]
  const error = { code, message: message ?? usual, ...extras.details === undefined ? {} : { details: extras.details } }
  const headers: Headers = [...extras.headers ?? [], ...retryable ? [['retry-after', '1'] as const] : []]
  return { status, contentType: 'application/json', headers, body: JSON.stringify({ error }) + '\n' }
}
