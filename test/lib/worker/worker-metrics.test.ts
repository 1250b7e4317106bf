/** A worker's report survives failing system calls. */
import t from 'tap'
import { WorkerMetrics, type WorkerMetricSources } from '../../../lib/worker/worker-metrics.js'
import { reportOf } from '../../support/programs/slots.js'

interface Metric {
  readonly name: string
  readonly values: ReadonlyArray<{ readonly value: number }>
}

t.test('memory use that cannot be read keeps its last value', async (t) => {
  const snapshot = (): ReturnType<WorkerMetricSources['lanes']['snapshot']> => reportOf()
  const metrics = new WorkerMetrics({
    slot: 0, pipelines: { all: [], limitsVersion: 1 }, lanes: { snapshot }
  })
  const readBytes = async (): Promise<number> => {
    const all = await metrics.toJson() as readonly Metric[]
    return all.find(({ name }) => name === 'orbitstream_process_resident_bytes')?.values[0]?.value ?? NaN
  }
  const before = await readBytes()
  t.ok(before > 1_000_000)
  const refuse = (): never => {
    throw new Error('A system error occurred: uv_resident_set_memory returned EMFILE (too many open files)')
  }
  t.intercept(process.memoryUsage, 'rss', { value: refuse })
  t.equal(await readBytes(), before)
})
