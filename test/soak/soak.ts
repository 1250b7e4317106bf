/**
 * Fault tests for any length of time:
 *
 *   npm run test:soak -- --rounds 200 --seed 7          random kills under load
 *   npm run test:soak -- --outage 10m --rate 10000      a database outage; --log: with the replicated log
 *   npm run test:soak -- --fail-overs 20                the database's primary lost with its disk, its standby promoted
 *   npm run test:soak -- --log-rounds 100               faults of the replicated log, a host lost among them
 *   npm run test:soak -- --host-kills 10 --rate 10000   ingest hosts behind balancers killed under requests a second
 *   npm run test:soak -- --rolls 10 --rate 10000        rolling restarts under requests a second, and UDP beside them
 *   npm run test:soak -- --apply 1m --rate 10000        a metric and a stream added, also while a query holds the table
 *
 * Prints a line per round and a verdict. Exit code 0 if nothing was lost, stored twice or invented.
 */
import { parseArguments } from '../../lib/cli/arguments.js'
import type { ArgumentsSpec, OptionValues } from '../../lib/cli/options.js'
import { end, STANDARD_OUTPUT } from '../../lib/cli/output.js'
import { formatDuration } from '../../lib/config/setting-types.js'
import { runApply } from '../support/load/apply.js'
import { runFailOvers } from '../support/load/fail-over.js'
import { runHostKills } from '../support/load/host-kills.js'
import { runLogRounds } from '../support/load/log-rounds.js'
import { ScriptOwner } from '../support/owner.js'
import { megabytes, runOutage, type OutageOptions } from '../support/load/outage.js'
import { runRolls } from '../support/load/rolls.js'
import { runRounds } from '../support/load/rounds.js'

const ROUNDS = 200
const RATE = 10_000
const SPEC = {
  program: 'npm run test:soak --',
  summary: 'Fault tests, one kind at a time. Exit code 0 if nothing was lost, stored twice or invented.',
  options: [
    { name: 'rounds', type: 'integer', min: 1, default: ROUNDS, help: 'Random kills under load.' },
    { name: 'seed', type: 'integer', min: 1, help: 'Of the random kills.', note: 'default: random' },
    { name: 'outage', type: 'duration', min: 1, help: 'A database outage of this length.' },
    { name: 'log', type: 'boolean', help: 'An outage with the replicated log.' },
    { name: 'apply', type: 'duration', min: 1, help: 'A catalogue applied under load, for this long.' },
    { name: 'fail-overs', type: 'integer', min: 1, help: 'Losses of the database\'s primary.' },
    { name: 'log-rounds', type: 'integer', min: 1, help: 'Faults of the replicated log.' },
    { name: 'host-kills', type: 'integer', min: 1, help: 'Kills of ingest hosts behind balancers.' },
    { name: 'rolls', type: 'integer', min: 1, help: 'Rolling restarts.' },
    { name: 'rate', type: 'integer', min: 1, default: RATE, help: 'Points or requests a second.' }
  ]
} as const satisfies ArgumentsSpec
/** The whole backlog must be stored within this fraction of the outage. */
const DRAIN_PART_MAX = 1 / 3
const DRAIN_GRACE_MS = 5_000
const SHOWN_MAX = 10
/** Of the client before the balancers. */
const CONNECTIONS = 128

interface Wrong {
  readonly missing: readonly number[]
  readonly twice: readonly number[]
  readonly invented: readonly number[]
  readonly conservationErrorPoints: number
}

function print (line: string): void {
  process.stdout.write(`${line}\n`)
}

/** Describes what is wrong. */
function faultsOf ({ missing, twice, invented, conservationErrorPoints }: Wrong): string[] {
  const wrong = Object.entries({ missing, twice, invented }).filter(([, numbers]) => numbers.length > 0)
  const faults = wrong.map(([what, numbers]) => {
    const shown = numbers.slice(0, SHOWN_MAX).join(', ')
    return `${numbers.length} points ${what}: ${shown}${numbers.length > SHOWN_MAX ? ', …' : ''}`
  })
  if (conservationErrorPoints !== 0) faults.push(`the counters leave ${conservationErrorPoints} points unexplained`)
  return faults
}

async function soakRounds (owner: ScriptOwner, rounds: number, seed: number): Promise<string[]> {
  print(`seed ${seed}`)
  const verdict = await runRounds(owner, { rounds, seed, print })
  print(`${verdict.acknowledged} points acknowledged, ${verdict.stored} stored`)
  return [...faultsOf(verdict), ...verdict.complaints]
}

async function soakOutage (owner: ScriptOwner, options: Omit<OutageOptions, 'print'>): Promise<string[]> {
  const { outageMs, pointsPerSecond } = options
  print(`database outage of ${formatDuration(outageMs)} at ${pointsPerSecond} points/s`)
  const verdict = await runOutage(owner, { ...options, print })
  const { acknowledged, stored, drainMs, acknowledgedWhileDraining, failures } = verdict
  const drainSeconds = (drainMs / 1000).toFixed(1)
  print(`${acknowledged} points acknowledged, ${stored} stored; ` +
    `drained in ${drainSeconds} s while accepting ${acknowledgedWhileDraining} points`)
  const [before, most] = [verdict.residentBytesBefore, verdict.residentBytesMost]
  print(`largest process: ${megabytes(before)} before, ${megabytes(most)} at most`)
  const faults = faultsOf(verdict)
  if (Object.keys(failures).length > 0) faults.push(`requests were refused: ${JSON.stringify(failures)}`)
  if (drainMs > outageMs * DRAIN_PART_MAX + DRAIN_GRACE_MS) faults.push('draining took more than a third of the outage')
  return faults
}

async function soakApply (owner: ScriptOwner, durationMs: number, pointsPerSecond: number): Promise<string[]> {
  print(`applying a catalogue at ${pointsPerSecond} points/s for ${formatDuration(durationMs)}`)
  const verdict = await runApply(owner, { durationMs, pointsPerSecond, print })
  const { acknowledged, stored, failures, answers } = verdict
  print(`${acknowledged} points acknowledged, ${stored} stored`)
  for (const { when, p99Ms, maxMs } of answers) print(`202 ${when}: p99 ${p99Ms} ms, max ${maxMs} ms`)
  const faults = [...faultsOf(verdict), ...verdict.faults]
  if (Object.keys(failures).length > 0) faults.push(`requests were refused: ${JSON.stringify(failures)}`)
  return faults
}

async function soakFailOvers (owner: ScriptOwner, rounds: number): Promise<string[]> {
  const verdict = await runFailOvers(owner, { rounds, print })
  const { acknowledged, stored, failures, gapsMs } = verdict
  print(`${acknowledged} points acknowledged, ${stored} stored; requests that failed: ${JSON.stringify(failures)}`)
  print(`longest time without an acknowledgement, ms: ${JSON.stringify(gapsMs)}`)
  return faultsOf(verdict)
}

async function soakLog (owner: ScriptOwner, rounds: number): Promise<string[]> {
  const verdict = await runLogRounds(owner, { rounds, print })
  print(`${verdict.acknowledged} points acknowledged, ${verdict.stored} stored`)
  print(`longest time without an acknowledgement, ms: ${verdict.gapsMs.join(', ')}`)
  return faultsOf(verdict)
}

async function soakHosts (owner: ScriptOwner, kills: number, requestsPerSecond: number): Promise<string[]> {
  const verdict = await runHostKills(owner, { kills, requestsPerSecond, connections: CONNECTIONS, print })
  const failed = Object.values(verdict.failures).reduce((sum, count) => sum + count, 0)
  print(`${verdict.acknowledged} requests acknowledged, ${Math.round(verdict.requestsPerSecond)}/s, ` +
    `${verdict.stored} stored, ${failed} failed: ` +
    `${JSON.stringify(verdict.failures)}; longest time without an acknowledgement ${Math.round(verdict.gapMs)} ms`)
  const faults = faultsOf(verdict)
  if (failed > kills * CONNECTIONS) faults.push('more requests failed than were in flight')
  return faults
}

async function soakRolls (owner: ScriptOwner, rolls: number, requestsPerSecond: number): Promise<string[]> {
  const faults: string[] = []
  for (const engine of ['uws', 'node'] as const) {
    print(`${engine}: ${rolls} rolling restarts at ${requestsPerSecond} requests/s`)
    const verdict = await runRolls(owner, { rolls, requestsPerSecond, engine, print })
    const { http, udp, stored, conservationErrorPoints } = verdict
    print(`HTTP: ${http.sent} sent, ${http.accepted} accepted, ${Math.round(http.rate_sent)}/s, ` +
      `p99 ${http.latency_ms.p99} ms, max ${http.latency_ms.max} ms; ` +
      `UDP: ${udp.sent} sent, ${udp.accepted} accepted; ${stored} stored`)
    for (const { sent, accepted, failures } of [http, udp]) {
      if (accepted < sent) faults.push(`${engine}: ${sent - accepted} points failed: ${JSON.stringify(failures)}`)
    }
    if (stored !== http.accepted + udp.accepted) faults.push(`${engine}: ${stored} points are stored`)
    if (conservationErrorPoints !== 0) faults.push(`${engine}: ${conservationErrorPoints} points are unexplained`)
    faults.push(...verdict.faults)
  }
  return faults
}

async function soak (owner: ScriptOwner, values: OptionValues<typeof SPEC.options>): Promise<string[]> {
  const { rate, outage, apply } = values
  if (values.rolls !== undefined) return await soakRolls(owner, values.rolls, rate)
  if (values['host-kills'] !== undefined) return await soakHosts(owner, values['host-kills'], rate)
  if (values['log-rounds'] !== undefined) return await soakLog(owner, values['log-rounds'])
  if (values['fail-overs'] !== undefined) return await soakFailOvers(owner, values['fail-overs'])
  if (apply !== undefined) return await soakApply(owner, apply, rate)
  if (outage !== undefined) {
    return await soakOutage(owner, { outageMs: outage, pointsPerSecond: rate, isReplicated: values.log })
  }
  return await soakRounds(owner, values.rounds, values.seed ?? 1 + Math.floor(Math.random() * 2 ** 31))
}

async function main (): Promise<number> {
  const parsed = parseArguments(SPEC, process.argv.slice(2))
  if (parsed.kind === 'exit') return end(parsed, STANDARD_OUTPUT)
  const { values } = parsed
  const owner = new ScriptOwner()
  try {
    const faults = await soak(owner, values)
    for (const fault of faults) print(`WRONG: ${fault}`)
    print(faults.length === 0 ? 'passed' : 'FAILED')
    return faults.length === 0 ? 0 : 1
  } finally {
    await owner.end()
  }
}

main().then((code) => { process.exitCode = code }, (error: unknown) => {
  print(`FAILED: ${error instanceof Error ? error.stack ?? error.message : String(error)}`)
  process.exitCode = 1
})
