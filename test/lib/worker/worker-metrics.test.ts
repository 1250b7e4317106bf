/** A report of a worker does not fail for what the system refuses. */
import t from 'tap'
import { WorkerMetrics, type WorkerMetricSources } from '../../../lib/worker/worker-metrics.js'
import { reportOf } from '../../support/slots.js'

t.test('memory that cannot be read stays as it was', async (t) => {
  const standing = (): ReturnType<WorkerMetricSources['lanes']['standing']> => reportOf()
  const metrics = new WorkerMetrics({ slot: 0, anomalies: new Float64Array(1_000), limitsVersion: () => 1, lanes: { standing } })
  const readBytes = async (): Promise<number> => {
    const all = await metrics.toJson() as ReadonlyArray<{ readonly name: string, readonly values: ReadonlyArray<{ readonly value: number }> }>
    return all.find(({ name }) => name === 'orbitstream_process_resident_bytes')?.values[0]?.value ?? NaN
  }
  const before = await readBytes()
  t.ok(before > 1_000_000)
  t.intercept(process.memoryUsage, 'rss', { value: () => { throw new Error('A system error occurred: uv_resident_set_memory returned EMFILE (too many open files)') } })
  t.equal(await readBytes(), before)
})
