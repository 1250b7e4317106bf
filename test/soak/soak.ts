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
import { parseArgs } from 'node:util'
import { formatDuration, parseDuration } from '../../lib/config/setting-types.js'
import { runApply } from '../support/apply.js'
import { runFailOvers } from '../support/fail-over.js'
import { runHostKills } from '../support/host-kills.js'
import { runLogRounds } from '../support/log-rounds.js'
import { ScriptOwner } from '../support/owner.js'
import { megabytes, runOutage, type OutageOptions } from '../support/outage.js'
import { runRolls } from '../support/rolls.js'
import { runRounds } from '../support/rounds.js'

const ROUNDS = '200'
const RATE = '10000'
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

function wholeNumber (name: string, text: string): number {
  const number = Number(text)
  if (Number.isSafeInteger(number) && number > 0) return number
  throw new Error(`--${name} must be a positive integer, not ${text}`)
}

/** Null: the option was not given. */
function duration (name: string, text: string | undefined): number | null {
  if (text === undefined) return null
  const ms = parseDuration(text)
  if (ms !== null) return ms
  throw new Error(`--${name} must be a duration such as 10m, not ${text}`)
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

async function main (): Promise<number> {
  const text = { type: 'string' } as const
  const rate = { ...text, default: RATE }
  const options = {
    rounds: text,
    seed: text,
    outage: text,
    log: { type: 'boolean', default: false },
    apply: text,
    'fail-overs': text,
    'log-rounds': text,
    'host-kills': text,
    rolls: text,
    rate
  } as const
  const { values } = parseArgs({ options })
  const outageMs = duration('outage', values.outage)
  const applyMs = duration('apply', values.apply)
  const owner = new ScriptOwner()
  try {
    const seed = values.seed ?? String(1 + Math.floor(Math.random() * 2 ** 31))
    const failOvers = values['fail-overs']
    const logRounds = values['log-rounds']
    const soak = async (): Promise<string[]> => {
      const { rolls } = values
      if (rolls !== undefined) {
        return await soakRolls(owner, wholeNumber('rolls', rolls), wholeNumber('rate', values.rate))
      }
      const hostKills = values['host-kills']
      if (hostKills !== undefined) {
        return await soakHosts(owner, wholeNumber('host-kills', hostKills), wholeNumber('rate', values.rate))
      }
      if (logRounds !== undefined) return await soakLog(owner, wholeNumber('log-rounds', logRounds))
      if (failOvers !== undefined) return await soakFailOvers(owner, wholeNumber('fail-overs', failOvers))
      if (applyMs !== null) return await soakApply(owner, applyMs, wholeNumber('rate', values.rate))
      if (outageMs !== null) {
        const pointsPerSecond = wholeNumber('rate', values.rate)
        return await soakOutage(owner, { outageMs, pointsPerSecond, isReplicated: values.log })
      }
      return await soakRounds(owner, wholeNumber('rounds', values.rounds ?? ROUNDS), wholeNumber('seed', seed))
    }
    const faults = await soak()
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
