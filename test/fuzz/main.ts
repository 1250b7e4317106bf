/**
 * Hostile input for as long as one likes:
 *
 *   npm run test:fuzz -- --seed 7 --bodies 1000000 --packets 1000000 --raw 200000
 *   npm run test:fuzz -- --attacks 10          seconds of each attack, beside an honest client
 *
 * The counts are those of both engines together. Exit code 0: nothing is wrong.
 */
import { parseArgs } from 'node:util'
import { ScriptOwner } from '../support/owner.js'
import { fuzz } from './fuzz.js'
import { siege } from './siege.js'

/** Of one request or packet, on a quiet machine. */
const CPU_MS_MAX = 100

const { values } = parseArgs({ options: { attacks: { type: 'string' }, seed: { type: 'string' }, bodies: { type: 'string', default: '1000000' }, packets: { type: 'string', default: '1000000' }, raw: { type: 'string', default: '200000' } } })
const print = (line: string): void => { process.stdout.write(`${line}\n`) }
const half = (text: string): number => Math.ceil(Number(text) / 2)
const seed = Number(values.seed ?? Math.floor(Math.random() * 2 ** 31))
const faults: string[] = []
for (const engine of ['uws', 'node'] as const) {
  const owner = new ScriptOwner()
  try {
    if (values.attacks !== undefined) faults.push(...await siege(owner, { engine, seconds: Number(values.attacks), print }))
    else faults.push(...await fuzz(owner, { engine, seed, bodies: half(values.bodies), packets: half(values.packets), raw: half(values.raw), cpuMsMax: CPU_MS_MAX, print }))
  } finally {
    await owner.end()
  }
}
for (const fault of faults) print(`WRONG: ${fault}`)
print(faults.length === 0 ? 'passed' : 'FAILED')
process.exitCode = faults.length === 0 ? 0 : 1
