/**
 * Hostile input for as long as one likes, and an honest client beside attackers:
 *
 *   npm run test:fuzz -- --minutes 15 --seed 7
 *   npm run test:fuzz -- --bodies 1000000 --packets 1000000 --raw 200000
 *   npm run test:fuzz -- --attacks 10          seconds of each attack
 *
 * Minutes and counts are those of both engines together. Exit code 0: nothing is wrong.
 */
import { parseArgs } from 'node:util'
import { ScriptOwner } from '../support/owner.js'
import { fuzz } from './fuzz.js'
import { siege } from './siege.js'

/** Of one request or packet, on a quiet machine. */
const CPU_MS_MAX = 100
const ENGINES = ['uws', 'node'] as const
const option = { type: 'string' } as const

const { values } = parseArgs({ options: { attacks: option, minutes: option, seed: option, bodies: option, packets: option, raw: option, cpu: option } })
const print = (line: string): void => { process.stdout.write(`${line}\n`) }
const seed = Number(values.seed ?? Math.floor(Math.random() * 2 ** 31))
/** Without counts as many as there is time for; without minutes as many as are counted. */
const share = (text: string | undefined, otherwise: number): number => Math.ceil(Number(text ?? (values.minutes === undefined ? otherwise : Infinity)) / ENGINES.length)
const counts = { bodies: share(values.bodies, 1_000_000), packets: share(values.packets, 1_000_000), raw: share(values.raw, 200_000) }
const minutes = Number(values.minutes ?? Infinity) / ENGINES.length
const faults: string[] = []
for (const engine of ENGINES) {
  const owner = new ScriptOwner()
  try {
    if (values.attacks !== undefined) faults.push(...await siege(owner, { engine, seconds: Number(values.attacks), print }))
    else faults.push(...await fuzz(owner, { engine, seed, minutes, ...counts, cpuMsMax: Number(values.cpu ?? CPU_MS_MAX), print }))
  } finally {
    await owner.end()
  }
}
for (const fault of faults) print(`WRONG: ${fault}`)
print(faults.length === 0 ? 'passed' : 'FAILED')
process.exitCode = faults.length === 0 ? 0 : 1
