import t from 'tap'
import { GROUPS, planOf } from '../../benchmarks/plan.js'
import { runRounds, type Steps } from '../../benchmarks/rounds.js'
import { Results, type Session } from '../../benchmarks/session.js'
import type { Group } from '../../benchmarks/plan.js'

const session = {
  plan: planOf({ mode: 'default', runs: 2, seconds: 1, only: ['http', 'spool'] })
} as unknown as Session
const RUN = { rate: 1, seconds: 1, sent: 0, acknowledged: 0, stored: 0, problems: [] }

function steps (done: string[], failing?: Group): Steps {
  const measure = (group: Group) => (_: Session, results: Results): Promise<void> => {
    done.push(group)
    if (group === failing) return Promise.reject(new Error('boom'))
    results.add(group, group, group, 'points/s', RUN)
    return Promise.resolve()
  }
  const warmUp = (): Promise<void> => {
    done.push('warm-up')
    return Promise.resolve()
  }
  return { warmUp, measures: Object.fromEntries(GROUPS.map((group) => [group, measure(group)])) as Steps['measures'] }
}

t.test('each round measures every group of the plan once, after one warm-up', async t => {
  const done: string[] = []
  const said: string[] = []
  await runRounds(session, new Results(), (text) => said.push(text), steps(done))
  t.same(done, ['warm-up', 'http', 'spool', 'http', 'spool'])
  t.same(said, ['warming up', 'round 1 of 2: http', 'round 1 of 2: spool', 'round 2 of 2: http', 'round 2 of 2: spool'])
})

t.test('a failed step is named, and earlier results are kept', async t => {
  const results = new Results()
  await t.rejects(runRounds(session, results, () => {}, steps([], 'spool')), { message: 'round 1 of 2: spool: boom' })
  t.same(results.measurements.map(({ name }) => name), ['http'])
})
