/**
 * The primary's view of its workers: handles their messages, answers their clients' questions, sums up their reports,
 * and keeps the counts of those that have exited.
 */
import type { Catalogue } from '../../protocol/catalogue.js'
import { strict as assert } from 'node:assert'
import { randomUUID } from 'node:crypto'
import { fileURLToPath } from 'node:url'
import type { Token } from '../access/token.js'
import type { UdpKey } from '../access/udp-key.js'
import { queryConnectionsOf, writersOf, type Config } from '../config/settings.js'
import type { StatusAnswer } from '../ingress/http/api/status-port.js'
import type { EngineChoice } from '../ingress/http/engines/load-engine.js'
import type { HandedSenders } from '../ingress/udp/dgram-listener.js'
import type { Log } from '../support/log.js'
import { PointCounters } from '../pipeline/pipeline.js'
import type { QueryPool } from '../database/query-pool.js'
import { StartupError } from '../support/startup-error.js'
import { ExportLeases } from './export-leases.js'
import { AnomalyHub } from './live/anomaly-hub.js'
import { Reconciliation } from './counts/reconciliation.js'
import { DataService } from './answers/data-service.js'
import { addPoints, type WorkerSources } from './answers/health.js'
import type { HostConditions } from './answers/problems.js'
import { ClientNewsRelay } from './client-news.js'
import { LimitsDistribution } from './limits/limits-distribution.js'
import type { LimitsKeeper } from './limits/limits-keeper.js'
import { Live } from './live/live.js'
import type { Gathered, ListenerSettings, MetricsJson, PrimaryHandlers, ToPrimary } from '../messages/messages.js'
import type { WorkerReport, WorkerSettings } from '../messages/messages.js'
import type { TlsMaterial } from '../support/tls.js'
import { PrimaryMetrics, type ReloadCounts } from './answers/primary-metrics.js'
import { PassingAnswers } from './answers/passing-answers.js'
import { answerQuestion, type Answers } from './answers/questions.js'
import { SenderPages } from './answers/sender-pages.js'
import { RollingRestart, type RestartOutcome } from './rolling/rolling-restart.js'
import { passOn, slotsInUse } from './leftovers.js'
import { isBroken, Slots, type Slot } from './slots.js'
import { StatusService } from './answers/status-service.js'
import { TelemetryService } from './answers/telemetry-service.js'
import { UdpTotals } from './answers/udp-totals.js'
import { WorkerLanes, type LaneEvents } from './worker-lanes.js'
import { WorkerReports } from './counts/worker-reports.js'

export interface WorkersOptions extends LaneEvents {
  readonly config: Config
  readonly log: Log
  readonly version: string
  readonly databaseKind: string
  readonly catalogue: Catalogue
  readonly httpEngine: EngineChoice['name']
  /** By slot: HTTP workers first, then UDP workers. */
  readonly listeners: readonly ListenerSettings[]
  /** Called for each new worker. */
  readonly settingsFor: () => Pick<WorkerSettings,
    'databaseUrl' | 'instanceId' | 'epoch' | 'tokens' | 'tls' | 'udpKeys' | 'lane'>
  readonly limits: LimitsKeeper
  readonly queries: QueryPool
  readonly health: () => StatusAnswer
  readonly conditions: () => HostConditions
  readonly reloads: ReloadCounts
  /** No HTTP worker can be kept alive: the server should exit. */
  readonly onGiveUp: (reason: string) => void
}

/** Share of the shutdown deadline for the workers, and for killing those that exceed it; the rest is for closing. */
const STOP_SHARE = 0.8
const KILL_SHARE = 0.1

export class Workers {
  readonly distribution: LimitsDistribution
  readonly lanes: WorkerLanes
  private readonly slots: Slots
  private readonly clientNews: ClientNewsRelay
  private readonly metrics: PrimaryMetrics
  private readonly status: StatusService
  private readonly answers: Answers
  private readonly reports = new WorkerReports()
  private readonly senderPages: SenderPages
  /** Id of this run of the primary. */
  private readonly run: string
  private readonly hub: AnomalyHub<Slot>
  private readonly leases: ExportLeases<Slot>
  private readonly live: Live
  private readonly rolling: RollingRestart
  private readonly passing = new PassingAnswers()
  private readonly reconciliation: Reconciliation
  private readonly retired = new PointCounters()
  private readonly retiredUdp = new UdpTotals()
  private cancelled = false
  private onSlotChange: () => void = () => {}

  constructor (private readonly options: WorkersOptions) {
    const { config, log, version, databaseKind, catalogue, listeners, limits, queries, health } = options
    assert.equal(listeners.length, writersOf(config), 'every slot has a listener, and the spool is shared out by slots')
    this.leases = new ExportLeases(queryConnectionsOf(config).exports)
    const slots = this.slots = new Slots({
      listeners,
      httpEngine: options.httpEngine,
      exec: fileURLToPath(new URL('../worker/worker.js', import.meta.url)),
      log,
      settingsFor: (slot) => this.settingsFor(slot),
      handlers: this.handlers(),
      onDeath: (slot, isFinal) => this.died(slot, isFinal),
      onGiveUp: (reason) => this.giveUp(reason)
    })
    this.lanes = new WorkerLanes(slots, options)
    this.clientNews = new ClientNewsRelay(slots)
    this.distribution = new LimitsDistribution(slots)
    this.distribution.send(limits.current)
    this.run = randomUUID().slice(0, 8)
    this.hub = new AnomalyHub(this.run, (slot, events, onSent) => {
      slots.send(slot, { type: 'anomalies', events }, onSent)
    })
    const reconciliation = this.reconciliation = new Reconciliation(log)
    const { conditions, reloads } = options
    this.metrics = new PrimaryMetrics({
      slots: slots.all,
      restarts: () => slots.restarts,
      reconciliation,
      passing: this.passing,
      version,
      databaseKind,
      rollups: () => conditions().rollups,
      reloads,
      tlsExpiresMs: () => conditions().tlsExpiresMs
    })
    this.live = this.createLive()
    this.status = new StatusService({
      collect: async () => {
        await this.reports.collect(slots)
        this.shareExports()
      },
      health,
      metrics: async () => await this.metrics.answer()
    })
    this.senderPages = new SenderPages({
      ask: (slot, id, query) => slots.send(slot, { type: 'senders?', id, query })
    })
    const refresh = async (): Promise<void> => { await this.status.refresh() }
    this.rolling = new RollingRestart({ slots, log, refresh })
    this.answers = {
      health: async () => await this.status.answer('health'),
      metrics: async () => await this.status.answer('metrics'),
      senders: async ({ query }) => await this.senderPages.answer(this.udpSlots(), query),
      ...new DataService({ metrics: catalogue.limitable, limits, distribution: this.distribution, queries }).answers,
      ...new TelemetryService({
        catalogue, limits: () => limits.current, queries, now: () => Date.now() * 1000
      }).answers
    }
  }

  /** Forks all workers; resolves when each one is serving or broken. The broken ones are in the log and on /health. */
  async start (): Promise<void> {
    this.slots.start()
    while (this.slots.all.some((slot) => slot.state !== 'ready' && !isBroken(slot))) {
      if (this.cancelled) {
        const death = this.slots.all.find(({ lastDeath }) => lastDeath !== null)?.lastDeath
        throw new StartupError(`The workers did not start: ${death ?? 'stopped before they were ready'}`)
      }
      await new Promise<void>((resolve) => { this.onSlotChange = resolve })
    }
  }

  /** Makes a start() in progress reject. */
  cancel (): void {
    this.cancelled = true
    this.onSlotChange()
  }

  /** Lets every worker store what it accepted; resolves when all have exited. */
  async stop (): Promise<void> {
    const { shutdownDeadlineMs } = this.options.config
    this.cancel()
    this.live.hub.close()
    await this.slots.stop(shutdownDeadlineMs * STOP_SHARE, shutdownDeadlineMs * KILL_SHARE)
  }

  /** Replaces all workers one by one. Never rejects. */
  async replace (): Promise<RestartOutcome> {
    return await this.rolling.run()
  }

  /** Why the last replacement of all stopped; null: it did not. */
  get restartFault (): string | null {
    return this.rolling.fault
  }

  /** Puts tokens into force. @param tokens null: none required */
  useTokens (tokens: readonly Token[] | null): void {
    this.slots.sendToAll({ type: 'tokens', tokens })
  }

  /** Puts keys of UDP senders into force. @param keys null: none required */
  useUdpKeys (keys: readonly UdpKey[] | null): void {
    for (const slot of this.slots.all) {
      if (slot.listener.kind === 'udp') this.slots.send(slot, { type: 'udp-keys', keys })
    }
  }

  /** Puts another certificate into force. */
  useTls (tls: TlsMaterial): void {
    this.slots.sendToAll({ type: 'tls', tls })
  }

  /** Age of the oldest point that waits for the database, by the latest reports. */
  get oldestMs (): number {
    return Math.max(0, ...this.slots.all.map(({ report }) => report?.backlog.oldestMs ?? 0))
  }

  /** The current metrics, as on /metrics. */
  async sample (): Promise<MetricsJson> {
    await this.status.refresh()
    const metrics = await this.metrics.totals()
    this.live.sample(metrics)
    return metrics
  }

  /** What /health shows of the workers. */
  get sources (): WorkerSources {
    const { slots, retired, retiredUdp, distribution } = this
    const limits = { version: distribution.version, complaint: distribution.complaint() }
    return { slots: slots.all, retired, retiredUdp, limits }
  }

  /** Those that hear senders now. */
  private udpSlots (): readonly Slot[] {
    return this.slots.all.filter(({ listener, state, takesOverFrom }) =>
      listener.kind === 'udp' && state !== 'retiring' && takesOverFrom === null)
  }

  private settingsFor (slot: Slot): WorkerSettings {
    const { slots: { all }, options: { config, httpEngine, catalogue: { definitions: streams }, settingsFor } } = this
    const { number, listener } = slot
    const { udpKeys, ...settings } = settingsFor()
    if (settings.lane !== null) this.lanes.begin(slot, settings.lane.lane)
    return {
      slot: number,
      config,
      httpEngine,
      listener,
      takesOver: slot.takesOverFrom !== null,
      slotsInUse: all[0] === slot ? slotsInUse(all, slot) : null,
      streams,
      limits: this.distribution.startWith(number),
      ...settings,
      // Secrets stay where they are needed.
      udpKeys: listener.kind === 'udp' ? udpKeys : null
    }
  }

  /** What a UDP worker knew of its senders goes to the one that has taken over from it. */
  private left (slot: Slot, senders: HandedSenders): void {
    const successor = this.slots.all.find((each) => each !== slot && each.listener === slot.listener)
    if (successor !== undefined) this.slots.send(successor, { type: 'take-over', senders })
  }

  private handlers (): Omit<PrimaryHandlers<Slot>, 'hello' | 'fatal'> {
    return {
      ready: (_, slot) => {
        this.onSlotChange()
        this.distribution.serves(slot)
      },
      report: ({ id, report }, slot) => this.reported(slot, id, report),
      ask: (message, slot) => { void this.answer(slot, message) },
      'limits-in-force': ({ version }, slot) => this.distribution.confirm(slot, version),
      found: ({ found }) => this.hub.add(found),
      watch: ({ id, lastEventId }, slot) => {
        this.slots.send(slot, { type: 'watched', id, start: this.hub.watch(slot, lastEventId) })
      },
      unwatch: (_, slot) => this.hub.unwatch(slot),
      'client-news': ({ news }, slot) => this.clientNews.pass(slot, news),
      'lease?': ({ id }, slot) => {
        this.slots.send(slot, { type: 'leased', id, granted: this.leases.grant(slot) })
        this.tellShare(slot)
      },
      'lease-over': (_, slot) => this.leases.release(slot),
      'feed-want': ({ id, want }, slot) => this.live.hub.want(slot, id, want),
      gathered: ({ gathered }, slot) => this.gathered(slot, gathered),
      left: ({ senders }, slot) => this.left(slot, senders),
      'lane-drained': ({ lane, isRemoved }) => this.lanes.drained(lane, isRemoved),
      'lane-left': ({ lane }) => this.lanes.left(lane),
      senders: ({ id, page }, slot) => this.senderPages.received(slot, id, page)
    }
  }

  private createLive (): Live {
    const { slots, options: { config, version, databaseKind, catalogue, conditions } } = this
    return new Live({
      run: this.run,
      version,
      streams: catalogue.streams,
      config,
      databaseKind,
      workers: () => this.sources,
      conditions,
      ask: (slot, want) => slots.send(slot, { type: 'gather?', want }),
      send: (slot, tick, onSent) => slots.send(slot, { type: 'feed', tick }, onSent)
    })
  }

  /** Brings the report of the worker up to date, but for its metrics. */
  private gathered (slot: Slot, { counts, newest }: Gathered): void {
    if (slot.report !== null) slot.report = { ...slot.report, ...counts }
    this.live.hub.received(slot, newest)
  }

  private async answer (slot: Slot, { id, question }: Extract<ToPrimary, { readonly type: 'ask' }>): Promise<void> {
    const { worker } = slot
    const answer = await answerQuestion(this.answers, question, this.options.log)
    // The ids of the worker that replaced a dead one start over.
    if (slot.worker !== worker) return
    this.passing.pass(answer, (passed, onSent) => this.slots.send(slot, { type: 'answer', id, answer: passed }, onSent))
  }

  private reported (slot: Slot, round: number, report: WorkerReport): void {
    assert.equal(report.slot, slot.number, 'a report is about its own slot')
    const { limitsVersion } = report
    assert.equal(limitsVersion, this.distribution.versionOf(slot), 'a worker confirms limits before it reports them')
    this.reconciliation.check(report)
    this.reports.received(round)
  }

  /** Exports give way to points that come in, to whatever worker. */
  private shareExports (): void {
    const received = this.slots.all.reduce((sum, { report }) => sum + (report?.points.received ?? 0), 0)
    this.leases.observe(received + this.retired.received, performance.now())
    for (const slot of this.leases.holders) this.tellShare(slot)
  }

  private tellShare (slot: Slot): void {
    this.slots.send(slot, { type: 'export-share', share: this.leases.share(performance.now()) })
  }

  /** Keeps the counts of a dead worker, so that no sum ever falls. */
  private died (slot: Slot, isFinal: boolean): void {
    if (slot.report !== null) {
      const { metrics, points, udp } = slot.report
      this.metrics.keepDead(metrics, isFinal)
      addPoints(this.retired, points)
      if (udp !== null) this.retiredUdp.add(udp.counters)
    }
    if (!isFinal) passOn(this.slots, slot)
    this.lanes.died(slot)
    this.clientNews.died(slot)
    this.hub.unwatch(slot)
    this.leases.forget(slot)
    this.live.hub.died(slot)
    this.onSlotChange()
    this.distribution.died(slot)
  }

  private giveUp (reason: string): void {
    this.cancel()
    this.options.onGiveUp(reason)
  }
}
