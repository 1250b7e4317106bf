/** Changes of limits: what refuses one, and that nothing is stored then. */
import t from 'tap'
import type { LimitSet } from '../../../../lib/limits/limit-set.js'
import type { StatusAnswer } from '../../../../lib/ingress/http/api/status-port.js'
import { DataService, type DataServiceParts } from '../../../../lib/primary/answers/data-service.js'
import type { StoredLimits } from '../../../../lib/queries/limits-store.js'
import { BUILT_IN, METRICS } from '../../../support/points/built-in.js'

const { name: METRIC } = METRICS[0]
const setOf = (critical: number): LimitSet => ({ default: { [METRIC]: { low: { critical } } }, overrides: {} })

/** A database that others change `races` times, each time just before a change of ours. */
class Limits {
  current: StoredLimits = { version: 3, set: setOf(10), changedAt: '', changedBy: '' }
  readonly replaced: number[] = []
  latestCount = 0

  constructor (private races = 0) {}

  async latest (): Promise<StoredLimits> {
    this.latestCount++
    return await Promise.resolve(this.current)
  }

  async replace (expected: number, set: LimitSet, changedBy: string): Promise<StoredLimits | null> {
    if (this.races-- > 0) this.current = { ...this.current, version: this.current.version + 1 }
    if (expected !== this.current.version) return await Promise.resolve(null)
    this.replaced.push(expected)
    this.current = { version: expected + 1, set, changedAt: '', changedBy }
    return this.current
  }
}

function serviceOf (limits: Limits): DataService['answers'] {
  const distribution = { versions: () => [], confirmed: async () => { await Promise.resolve() } }
  const queries = { run: async () => await Promise.reject(new Error('nothing is queried')) }
  return new DataService(
    { metrics: BUILT_IN.limitable, limits, distribution, queries } as unknown as DataServiceParts).answers
}

const codeOf = ({ body }: StatusAnswer): string => (
  (JSON.parse(body) as { readonly error?: { readonly code: string } }).error?.code ?? 'ok')

async function put (limits: Limits, ifMatch: string, value: unknown = setOf(20)): Promise<StatusAnswer> {
  return await serviceOf(limits)['replace-limits']({ kind: 'replace-limits', value, ifMatch, changedBy: 'me' })
}

async function patch (limits: Limits, ifMatch = '', metric = METRIC, value: unknown = { low: { critical: 20 } }) {
  return await serviceOf(limits)['patch-limits']({ kind: 'patch-limits', metric, value, ifMatch, changedBy: 'me' })
}

t.test('a set is replaced only if the client has seen the present one', async (t) => {
  const cases = [
    ['', 'precondition_required'], ['"2"', 'limits_changed'], ['"3", "4"', 'limits_changed'], ['no', 'limits_changed'],
    ['"3"', 'ok'], ['W/"3"', 'ok'], ['3', 'ok'], ['*', 'ok']
  ] as const
  for (const [ifMatch, code] of cases) {
    const limits = new Limits()
    const answer = await put(limits, ifMatch)
    t.equal(codeOf(answer), code, ifMatch)
    t.strictSame(limits.replaced, code === 'ok' ? [3] : [])
    if (code === 'limits_changed') t.strictSame(answer.headers, [['etag', '"3"']])
  }
  const limits = new Limits()
  t.equal(codeOf(await put(limits, '*', { default: 5 })), 'invalid_limits')
  t.strictSame(limits.replaced, [])
})

t.test('a patch is tried again if others were faster, unless it names a version', async (t) => {
  const cases = [
    [0, '', 'ok', 1], [4, '', 'ok', 5], [5, '', 'limits_changed', 5], [1, '"3"', 'limits_changed', 1],
    [0, '"2"', 'limits_changed', 1], [0, '*', 'ok', 2]
  ] as const
  for (const [races, ifMatch, code, reads] of cases) {
    const limits = new Limits(races)
    const answer = await patch(limits, ifMatch)
    t.equal(codeOf(answer), code, `${races} changes of others, If-Match: ${ifMatch}`)
    t.equal(limits.replaced.length, code === 'ok' ? 1 : 0)
    t.equal(limits.latestCount, reads)
    t.strictSame(answer.headers, [['etag', `"${limits.current.version}"`]], 'the version to go on with')
  }
})

t.test('what cannot be a change, or a question, reaches no database', async (t) => {
  const limits = new Limits()
  t.match(await patch(limits, '', 'none'), { status: 404, body: /Unknown metric; known metrics are/ })
  t.equal(codeOf(await patch(limits, '', METRIC, { low: { critical: 'x' } })), 'invalid_limits')
  t.strictSame(limits.replaced, [])
  const answers = serviceOf(limits)
  t.equal(codeOf(await answers['limits-history']({ kind: 'limits-history', query: 'limit=0' })), 'invalid_query')
  t.equal(codeOf(await answers.anomalies({ kind: 'anomalies', query: 'severity=bad' })), 'invalid_query')
})
