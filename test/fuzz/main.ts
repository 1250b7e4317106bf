/**
 * Hostile input for any length of time, or an honest client beside attackers:
 *
 *   npm run test:fuzz -- --minutes 15 --seed 7
 *   npm run test:fuzz -- --bodies 1000000 --packets 1000000 --raw 200000 --forged 1000000
 *   npm run test:fuzz -- --attacks 10          seconds per attack
 *
 * Minutes and counts are for both engines together. Exit code 0: no faults.
 */
import { parseArgs } from 'node:util'
import { ScriptOwner } from '../support/owner.js'
import { fuzz } from './fuzz.js'
import { siege } from './siege.js'

/** Per request or packet, on an idle machine. */
const CPU_MS_MAX = 100
const ENGINES = ['uws', 'node'] as const
const option = { type: 'string' } as const

const { values } = parseArgs({
  options: {
    attacks: option,
    minutes: option,
    seed: option,
    bodies: option,
    packets: option,
    raw: option,
    forged: option,
    cpu: option
  }
})
const print = (line: string): void => { process.stdout.write(`${line}\n`) }
const seed = Number(values.seed ?? Math.floor(Math.random() * 2 ** 31))
/** Without counts, as many as time allows; without minutes, as long as the counts take. */
function share (text: string | undefined, otherwise: number): number {
  return Math.ceil(Number(text ?? (values.minutes === undefined ? otherwise : Infinity)) / ENGINES.length)
}
const counts = {
  bodies: share(values.bodies, 1_000_000),
  packets: share(values.packets, 1_000_000),
  raw: share(values.raw, 200_000),
  forged: share(values.forged, 1_000_000)
}
const minutes = Number(values.minutes ?? Infinity) / ENGINES.length
const cpuMsMax = Number(values.cpu ?? CPU_MS_MAX)
const faults: string[] = []
for (const engine of ENGINES) {
  const owner = new ScriptOwner()
  try {
    faults.push(...values.attacks === undefined
      ? await fuzz(owner, { engine, seed, minutes, ...counts, cpuMsMax, print })
      : await siege(owner, { engine, seconds: Number(values.attacks), print }))
  } finally {
    await owner.end()
  }
}
for (const fault of faults) print(`WRONG: ${fault}`)
print(faults.length === 0 ? 'passed' : 'FAILED')
process.exitCode = faults.length === 0 ? 0 : 1
