/** `npm run bench:micro`: the parts of the hot path in isolation. `-- --quick`: shorter. */
import { align } from '../report/table.js'
import { count } from '../report/figures.js'
import { microCases } from './cases.js'
import { measureCase } from './measure.js'

const settings = process.argv.includes('--quick') ? { runMs: 100, runs: 3 } : { runMs: 500, runs: 5 }

if (globalThis.gc === undefined) {
  process.stderr.write('warning: without --expose-gc the bytes per point are approximate\n')
}
const rows = microCases().map((micro) => {
  const { name, pointsPerSecond, nanosPerPoint, heapBytesPerPoint, bufferBytesPerPoint } = measureCase(micro, settings)
  return [
    name, count(pointsPerSecond), nanosPerPoint.toFixed(1), heapBytesPerPoint.toFixed(1), bufferBytesPerPoint.toFixed(1)
  ]
})
process.stdout.write(
  `${align([['piece', 'points/s', 'ns/point', 'heap bytes/point', 'buffer bytes/point'], ...rows])}\n`
)
