/**
 * A world for the replicated log: servers with faults, a writer that is killed, paused and taken over, several drains
 * of one lane, a ledger for each lane, and a record of every answer.
 *
 * Each step does one random thing. settle() then ends the faults, drains everything, and checks:
 * - what was acknowledged is stored, unless the log lost it together with its writer, and then somebody said so;
 * - nothing is stored twice, out of order, or after it was refused;
 * - every batch of a process that was not killed is answered exactly once;
 * - no lane refuses its own ledger, unless its streams were damaged.
 */
import assert from 'node:assert/strict'
import { LogJournal } from '../../../../lib/replicated/log-journal.js'
import { openLostLane } from '../../../../lib/replicated/lost-lane.js'
import { decodeHeader } from '../../../../lib/replicated/message.js'
import { FakeLog, FakeServers, flush, pump, type Random } from '../fake-log.js'
import { Drainer, ModelBatch, ModelDatabase, type ModelLane } from './parts.js'

/** Counts of what happened, so that a test can assert that it did. */
export interface WorldCounts {
  acknowledged: number
  stored: number
  unknown: number
  refused: number
  kills: number
  takenOver: number
  epochs: number
  cut: number
  purged: number
  deleted: number
  full: number
  lost: number
  syncs: number
  paused: number
}

export const NO_COUNTS: WorldCounts = Object.freeze({
  acknowledged: 0,
  stored: 0,
  unknown: 0,
  refused: 0,
  kills: 0,
  takenOver: 0,
  epochs: 0,
  cut: 0,
  purged: 0,
  deleted: 0,
  full: 0,
  lost: 0,
  syncs: 0,
  paused: 0
})

const TAKERS_MAX = 2
const FAULT_PERCENT = 6

export class World {
  readonly counts: WorldCounts = { ...NO_COUNTS }
  private readonly servers = new FakeServers()
  private readonly batches: ModelBatch[] = []
  private readonly database = new ModelDatabase(this.batches)
  private readonly lanes: ModelLane[] = []
  private owner: Drainer | null = null
  private takers: Drainer[] = []
  /** Steps for which the writer does nothing. */
  private pausedSteps = 0
  private readonly memoryMaxBytes: number

  constructor (private readonly random: Random, private readonly faults: boolean) {
    this.memoryMaxBytes = random(3) === 0 ? 3000 : 1_000_000
  }

  async step (): Promise<void> {
    const { random } = this
    const owner = this.owner ?? this.start()
    if (this.pausedSteps > 0) this.pausedSteps--
    const isPaused = this.pausedSteps > 0
    const dice = random(1000)
    if (dice < 200 && !isPaused) this.append(owner, 1 + random(3))
    else if (dice < 550 && !isPaused) await this.io(owner.log, 1 + random(6))
    else if (dice < 700 && !isPaused) owner.step(this.faults)
    else if (dice < 930) await this.advanceTakers()
    else if (dice < 945) this.arrive()
    else if (this.faults) await this.injectFault(owner)
    await flush()
  }

  /** Ends the faults, drains everything, and checks what must be true then. */
  async settle (): Promise<WorldCounts> {
    this.servers.isFull = false
    while (this.servers.late.length > 0) this.arrive()
    this.heal()
    for (const taker of this.takers) await this.finish(taker)
    const owner = this.owner ?? this.start()
    await this.drainAll(owner)
    this.append(owner, 1)
    await this.drainAll(owner)
    if (owner.isHalted) owner.lane.isKilled = true
    this.noteEnd(owner)
    await pump(owner.log, owner.journal.close())
    for (const lane of this.lanes) await this.drainLost(lane)
    this.check()
    return this.counts
  }

  private heal (): void {
    for (const { log } of [...this.takers, ...this.owner === null ? [] : [this.owner]]) log.faults = 0
  }

  private start (): Drainer {
    const { random } = this
    const lane: ModelLane = {
      id: (this.lanes.length + 1).toString(16).padStart(32, 'a'),
      isDamaged: false,
      isCut: false,
      isRemoved: false,
      isKilled: false,
      isTakenOver: false,
      faults: [],
      ledger: null,
      lastStored: -1
    }
    this.lanes.push(lane)
    const log = this.client()
    const journal = new LogJournal({
      log,
      timing: log,
      lane: lane.id,
      instance: 'model',
      slot: 0,
      rowFormat: 1,
      now: () => 1,
      memoryMaxBytes: this.memoryMaxBytes,
      maxBytes: random(3) === 0 ? 20_000 : 10_000_000,
      onFault: (message) => { lane.faults.push(message) }
    })
    this.owner = new Drainer(lane, log, journal, this.database, random)
    return this.owner
  }

  private client (): FakeLog {
    const log = new FakeLog(this.servers, this.random)
    log.faults = this.faults ? FAULT_PERCENT : 0
    return log
  }

  private append ({ lane, journal }: Drainer, count: number): void {
    for (let index = 0; index < count; index++) {
      const batch = new ModelBatch(lane, this.batches.length, this.random, (id) => this.database.stored.has(id))
      this.batches.push(batch)
      journal.append(batch)
    }
  }

  private async io (log: FakeLog, count: number): Promise<void> {
    await flush()
    for (let done = 0; done < count && log.pending > 0; done++) {
      log.step()
      await flush()
    }
  }

  private arrive (): void {
    const { late } = this.servers
    late.splice(this.random(late.length), 1)[0]?.()
  }

  private async injectFault (owner: Drainer): Promise<void> {
    const { random, servers } = this
    const dice = random(100)
    if (dice < 12) this.kill(owner)
    else if (dice < 40) await this.takeOver(this.lanes[Math.max(0, this.lanes.length - 1 - random(3))]!)
    else if (dice < 60) this.pause()
    else if (dice < 75) this.expire(owner)
    else if (dice < 80) this.damage('cut', (messages) => messages.slice(0, -1 - random(4)))
    else if (dice < 84) this.damage('purged', (messages) => messages.map((each, at) => at < random(20) ? null : each))
    else if (dice < 86) this.delete()
    else servers.isFull = !servers.isFull && random(2) === 0
    if (servers.isFull) this.counts.full++
  }

  private pause (): void {
    this.pausedSteps = 20 + this.random(60)
    this.counts.paused++
  }

  /** The log has been silent for ten seconds. */
  private expire ({ log, journal }: Drainer): void {
    log.advance(10_000)
    if (journal instanceof LogJournal) journal.checkTimeout()
  }

  private kill (owner: Drainer): void {
    owner.log.kill()
    owner.lane.isKilled = true
    this.noteEnd(owner)
    this.counts.kills++
    this.pausedSteps = 0
    this.owner = null
  }

  private noteEnd ({ journal }: Drainer): void {
    if (!(journal instanceof LogJournal)) return
    this.counts.epochs += journal.epoch - 1
    this.counts.syncs += journal.syncs
  }

  private damage (what: 'cut' | 'purged', change: (messages: Array<Buffer | null>) => Array<Buffer | null>): void {
    const stream = this.servers.pick(this.random)
    if (stream === null) return
    const isLast = !this.servers.streams.has(`${stream.name.lane}/${stream.name.epoch + 1}`)
    const isSeal = (bytes: Buffer | null): boolean => bytes !== null && decodeHeader(bytes)?.isSeal === true
    // A purge that takes the seal of the last stream, and leaves what lies behind it: docs/SCALE.md warns of that.
    const keep = what === 'purged' && isLast ? stream.messages.findIndex(isSeal) : -1
    stream.messages = change(stream.messages).map((each, at) => at === keep ? stream.messages[at] ?? null : each)
    this.note(stream.name.lane, what === 'cut')
    this.counts[what]++
  }

  private delete (): void {
    const stream = this.servers.pick(this.random)
    if (stream === null) return
    const { lane, epoch } = stream.name
    this.servers.streams.delete(`${lane}/${epoch}`)
    const left = [...this.servers.streams.values()].filter(({ name }) => name.lane === lane)
    this.note(lane, left.length > 0 && left.every(({ name }) => name.epoch < epoch))
    this.counts.deleted++
  }

  private note (id: string, isCut: boolean): void {
    for (const lane of this.lanes.filter((each) => each.id === id)) {
      lane.isDamaged = true
      lane.isCut ||= isCut
    }
  }

  private async takeOver (lane: ModelLane): Promise<void> {
    if (this.takers.length === TAKERS_MAX) return
    this.takers.push(await this.open(lane))
  }

  private async open (lane: ModelLane): Promise<Drainer> {
    const log = this.client()
    const { faults } = log
    log.faults = 0
    // Its writer was alive, and has begun another epoch since.
    if ([...this.servers.streams.values()].some(({ name }) => name.lane === lane.id)) lane.isRemoved = false
    const options = {
      log,
      timing: log,
      lane: lane.id,
      now: () => 1,
      maxBytes: 10_000_000,
      quietMs: 0,
      hadStreams: !lane.isRemoved,
      onFault: (message: string) => { lane.faults.push(message) }
    }
    const journal = await pump(log, openLostLane(log, options))
    log.faults = faults
    lane.isTakenOver = true
    this.counts.takenOver++
    return new Drainer(lane, log, journal, this.database, this.random)
  }

  private async advanceTakers (): Promise<void> {
    const taker = this.takers[this.random(this.takers.length)]
    if (taker === undefined) return
    if (this.random(100) === 0) {
      // It dies.
      taker.log.kill()
      this.takers = this.takers.filter((each) => each !== taker)
      return
    }
    await this.io(taker.log, 1 + this.random(8))
    taker.step(this.faults)
    if (taker.isDone || taker.isHalted) {
      this.takers = this.takers.filter((each) => each !== taker)
      await this.finish(taker)
    }
  }

  /** Drains a lane to its end; then its streams may be removed. */
  private async finish (taker: Drainer): Promise<void> {
    const { log, journal } = taker
    log.faults = 0
    for (let turn = 0; !taker.isDone && !taker.isHalted; turn++) {
      assert.ok(turn < 10_000, 'a lost lane does not become empty')
      taker.step(false)
      await this.io(log, 10)
    }
    await pump(log, journal.close())
    if (!taker.isDone || journal instanceof LogJournal || this.random(2) !== 0) return
    await pump(log, journal.remove())
    taker.lane.isRemoved = true
  }

  /** Until the writer has nothing left. */
  private async drainAll (owner: Drainer): Promise<void> {
    for (let turn = 0; !owner.isHalted && (turn < 20 || owner.journal.backlog().frames > 0); turn++) {
      assert.ok(turn < 10_000, `the lane does not become empty: ${JSON.stringify(owner.journal.backlog())}`)
      owner.step(false)
      await this.io(owner.log, 10)
    }
  }

  private async drainLost (lane: ModelLane): Promise<void> {
    const taker = await this.open(lane)
    taker.log.faults = 0
    await this.finish(taker)
  }

  private check (): void {
    const { stored } = this.database
    for (const { id, lane, answer } of this.batches) {
      if (answer === undefined) assert.ok(lane.isKilled, `batch ${id} is not answered`)
      else if (answer === null) this.counts.acknowledged++
      else if (answer.startsWith('log_un') || answer === 'outcome_unknown') this.counts.unknown++
      else this.counts.refused++
      if (answer !== null || stored.has(id)) continue
      const mayLose = lane.isDamaged && (lane.isKilled || lane.isTakenOver || this.memoryMaxBytes < 10_000)
      assert.ok(mayLose, `batch ${id} was acknowledged, and is not stored`)
      assert.ok(lane.faults.length > 0 || lane.isCut, `batch ${id} was lost without a word`)
      this.counts.lost++
    }
    this.counts.stored += stored.size
  }
}
