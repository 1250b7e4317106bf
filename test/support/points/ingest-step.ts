/** ingest_stats rows for tests. */
import { IngestStepCutter } from '../../../lib/primary/counts/ingest-steps.js'
import type { IngestStep } from '../../../lib/upkeep/ingest-stats.js'

/** A ten-second step with all counters at zero except for the changes. */
export function ingestStep (timeMs: number, changes: Partial<IngestStep> = {}): IngestStep {
  const cutter = new IngestStepCutter('a', timeMs - 1)
  cutter.sample([], timeMs)
  return { ...cutter.pending()[0]!, time: new Date(timeMs).toISOString(), seconds: 10, ...changes }
}
