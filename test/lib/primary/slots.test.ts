import cluster from 'node:cluster'
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import t, { type Test } from 'tap'
import { createLogger } from '../../../lib/support/log.js'
import type { ToPrimary, WorkerSettings } from '../../../lib/messages/messages.js'
import { isBroken, Slots, type Slot } from '../../../lib/primary/slots.js'

const EXEC = fileURLToPath(new URL('../../support/programs/slots-worker.js', import.meta.url))

interface Watched {
  readonly slots: Slots
  readonly messages: Array<readonly [number, ToPrimary]>
  /** Slots whose worker died, with the waiting points of its last report. */
  readonly deaths: Array<{ readonly slot: number, readonly waiting: number | null, readonly atMs: number }>
  readonly gaveUp: string[]
  readonly lines: Array<Record<string, unknown>>
  /** Resolves when the predicate is true after a message or death. */
  until: (predicate: () => boolean) => Promise<void>
}

function watch (t: Test, mode: string, httpCount = 1, udpCount = 0): Watched {
  process.env['SLOTS_WORKER'] = mode
  const watchers = new Set<() => void>()
  // After the slots have handled the event.
  const wake = (): void => { setImmediate(() => watchers.forEach((each) => each())) }
  const watched: Omit<Watched, 'slots' | 'until'> = { messages: [], deaths: [], gaveUp: [], lines: [] }
  const record = (message: ToPrimary, slot: Slot): void => {
    watched.messages.push([slot.number, message])
    wake()
  }
  const destination = {
    write: (line: string) => { watched.lines.push(JSON.parse(line) as Record<string, unknown>) }
  }
  const slots = new Slots({
    listeners: [
      ...Array.from({ length: httpCount }, () => ({ kind: 'http', port: 1 } as const)),
      ...Array.from({ length: udpCount }, () => ({ kind: 'udp', port: 1 } as const))
    ],
    exec: EXEC,
    httpEngine: 'uws',
    log: createLogger({ level: 'error', name: 'test', pretty: false, destination }),
    settingsFor: ({ number }) => ({ slot: number } as WorkerSettings),
    handlers: {
      ready: record,
      report: record,
      ask: record,
      'limits-in-force': record,
      found: record,
      watch: record,
      unwatch: record,
      'client-news': record,
      'lease?': record,
      'lease-over': record,
      'feed-want': record,
      gathered: record,
      left: record,
      'lane-drained': record,
      'lane-left': record,
      senders: record
    },
    onDeath: (slot) => {
      watched.deaths.push({ slot: slot.number, waiting: slot.report?.waiting ?? null, atMs: performance.now() })
      wake()
    },
    onGiveUp: (reason) => watched.gaveUp.push(reason)
  })
  t.teardown(async () => { await slots.stop(0, 0) })
  const until = async (predicate: () => boolean): Promise<void> => {
    while (!predicate()) {
      await new Promise<void>((resolve) => watchers.add(resolve))
      watchers.clear()
    }
  }
  return { ...watched, slots, until }
}

/** Exited, and not yet reaped by its parent: proc(5). */
function isZombie (pid: number): boolean {
  return /\) Z /.test(readFileSync(`/proc/${pid}/stat`, 'latin1'))
}

const allReady = ({ slots }: Watched) => (): boolean => slots.all.every(({ state }) => state === 'ready')

function slotZero ({ slots }: Watched): Slot {
  return slots.all[0]!
}

t.test('starts each slot with its settings, handles messages, and stops all', async (t) => {
  const watched = watch(t, 'serve', 2)
  const { slots, messages, deaths } = watched
  t.strictSame(slots.all.map(({ number, state }) => [number, state]), [[0, 'gone'], [1, 'gone']])
  slots.start()
  t.strictSame(slots.all.map(({ state }) => state), ['starting', 'starting'])
  await watched.until(allReady(watched))
  t.strictSame(slots.all.map(({ engine }) => engine), ['engine of 0', 'engine of 1'])
  slots.all[1]!.heardMs = 0
  slots.send(slots.all[1]!, { type: 'report?', id: 5 })
  await watched.until(() => slots.all[1]?.report !== null)
  t.match(messages.at(-1), [1, { type: 'report', id: 5 }])
  t.equal(slots.all[1]?.report?.waiting, 7)
  t.ok(slots.all[1]!.heardMs > 0)
  const stopping = slots.stop(5000, 1000)
  t.strictSame(slots.all.map(({ state }) => state), ['stopping', 'stopping'])
  await stopping
  for (const { state, worker, restarts } of slots.all) t.strictSame([state, worker, restarts], ['gone', null, 0])
  t.strictSame(deaths.map(({ slot }) => slot).sort(), [0, 1])
  t.strictSame(watched.lines, [], 'a requested exit is not a death')
  slots.send(slots.all[0]!, { type: 'report?', id: 6 })
  await slots.stop(0, 0)
})

t.test('a killed worker is replaced at once the first time; its last report outlives it', async (t) => {
  const watched = watch(t, 'serve')
  const slot = slotZero(watched)
  watched.slots.start()
  await watched.until(allReady(watched))
  watched.slots.send(slot, { type: 'report?', id: 1 })
  await watched.until(() => slot.report !== null)
  const pid = slot.worker?.process.pid
  slot.worker?.process.kill('SIGKILL')
  await watched.until(() => watched.deaths.length === 1)
  t.equal(watched.deaths[0]?.waiting, 7)
  t.equal(slot.report, null)
  await watched.until(allReady(watched))
  t.not(slot.worker?.process.pid, pid)
  t.match(slot, { restarts: 1, quickDeaths: 1, lastDeath: 'signal SIGKILL' })
  t.match(watched.lines, [{ level: 'error', slot: 0, cause: 'signal SIGKILL', delayMs: 0 }])
  slot.worker?.process.kill('SIGKILL')
  await watched.until(() => watched.deaths.length === 2)
  t.match(watched.lines[1], { delayMs: 200 })
  t.equal(slot.state, 'waiting')
  await watched.slots.stop(60_000, 0)
  t.match(slot, { state: 'gone', worker: null }, 'nothing is started afterwards')
})

t.test('the last report of a worker counts, even if it has exited by then', async (t) => {
  const watched = watch(t, 'tell', 3)
  watched.slots.start()
  await watched.until(allReady(watched))
  const pids = watched.slots.all.map(({ worker }) => worker!.process.pid!)
  const stopped = watched.slots.stop(5000, 1000)
  // Neither their messages nor their deaths are handled before all have exited.
  while (!pids.every(isZombie)) { /* the event loop must not turn */ }
  await stopped
  t.strictSame(watched.deaths.map(({ waiting }) => waiting), [9, 9, 9])
})

t.test('a worker that lived long is replaced at once, every time', async (t) => {
  const watched = watch(t, 'serve')
  const slot = slotZero(watched)
  watched.slots.start()
  for (let death = 1; death <= 6; death++) {
    await watched.until(allReady(watched))
    slot.startedMs -= 10_001
    slot.worker?.process.kill('SIGKILL')
    await watched.until(() => watched.deaths.length === death)
    t.match(slot, { state: 'waiting', quickDeaths: 1, restarts: death })
  }
  await watched.until(allReady(watched))
  t.ok(watched.lines.every(({ delayMs }) => delayMs === 0))
  t.strictSame(watched.gaveUp, [])
})

t.test('five quick deaths: delays grow, then it gives up with the cause', async (t) => {
  const watched = watch(t, 'fatal')
  watched.slots.start()
  await watched.until(() => watched.gaveUp.length > 0)
  t.strictSame(watched.gaveUp, ['worker 0 died 5 times soon after starting, most recently with: no such file'])
  t.equal(watched.deaths.length, 5)
  t.strictSame(watched.lines.map(({ delayMs }) => delayMs), [0, 200, 400, 800])
  const gaps = watched.deaths.slice(1).map(({ atMs }, i) => atMs - watched.deaths[i]!.atMs)
  for (const [i, leastMs] of [0, 200, 400, 800].entries()) t.ok(gaps[i]! >= leastMs - 2, `${gaps[i]} of ${leastMs}`)
  t.match(slotZero(watched), { state: 'gone', restarts: 4 })
  await watched.slots.stop(60_000, 0)
})

t.test('a broken slot does not end the server while another one is serving', async (t) => {
  const watched = watch(t, 'first is broken', 2, 1)
  const slot = slotZero(watched)
  watched.slots.start()
  await watched.until(() => watched.deaths.length === 5)
  t.match(slot, { state: 'waiting', quickDeaths: 5, lastDeath: 'exit code 4' })
  t.ok(isBroken(slot))
  t.strictSame(watched.gaveUp, [])
  t.strictSame(watched.lines.map(({ delayMs }) => delayMs), [0, 200, 400, 800, 1600])
})

t.test('a process that the system has no memory for is a death like others', async (t) => {
  const watched = watch(t, 'serve')
  const slot = slotZero(watched)
  const fork = cluster.fork.bind(cluster)
  cluster.fork = () => {
    cluster.fork = fork
    throw Object.assign(new Error('spawn ENOMEM'), { code: 'ENOMEM' })
  }
  watched.slots.start()
  t.match(slot, { state: 'waiting', worker: null, lastDeath: 'spawn ENOMEM', quickDeaths: 1 })
  await watched.until(allReady(watched))
  t.equal(slot.restarts, 1)
})

t.test('it gives up when every vital slot is broken, whatever the others do', async (t) => {
  const watched = watch(t, 'first is broken', 1, 1)
  watched.slots.start()
  await watched.until(() => watched.gaveUp.length > 0)
  t.equal(watched.slots.all[1]?.state, 'ready')
})

t.test('the exit code is the cause if the worker gave none', async (t) => {
  const watched = watch(t, 'exit')
  watched.slots.start()
  await watched.until(() => watched.deaths.length === 2)
  t.equal(slotZero(watched).lastDeath, 'exit code 3')
})

t.test('a worker that does not stop is killed after the deadline and grace period', async (t) => {
  const watched = watch(t, 'deaf', 2)
  watched.slots.start()
  await watched.until(allReady(watched))
  const startedMs = performance.now()
  await watched.slots.stop(80, 40)
  t.ok(performance.now() - startedMs >= 118)
  t.strictSame(watched.slots.all.map(({ state }) => state), ['gone', 'gone'])
})

t.test('a transition that is not in the table is a bug', async (t) => {
  const watched = watch(t, 'serve')
  watched.slots.start()
  t.throws(() => watched.slots.start(), /slot 0: starting cannot follow starting/)
  await watched.until(allReady(watched))
})

t.test('stop while workers are starting', async (t) => {
  const watched = watch(t, 'serve', 2)
  watched.slots.start()
  await watched.slots.stop(60_000, 0)
  t.strictSame(watched.slots.all.map(({ state, restarts }) => [state, restarts]), [['gone', 0], ['gone', 0]])
})

t.test('a successor beside the one that it replaces, which retires', async (t) => {
  const watched = watch(t, 'serve', 2)
  const { slots } = watched
  const slot = slotZero(watched)
  slots.start()
  await watched.until(allReady(watched))
  const successor = await slots.startSuccessor(slot, 2)
  if (typeof successor === 'string') throw new Error(successor)
  t.match(successor, { number: 2, state: 'ready', takesOverFrom: null, engine: 'engine of 2' })
  t.strictSame(slots.all.map(({ number, state }) => [number, state]), [[0, 'ready'], [2, 'ready'], [1, 'ready']])
  t.equal(await slots.retire(slot), null)
  t.strictSame(slots.all.map(({ number }) => number), [2, 1])
  t.match(slot, { state: 'gone', worker: null, report: { waiting: 3 } })
  t.strictSame(watched.lines, [], 'nobody died')
  t.equal(slots.restarts, 0)
})

t.test('a successor that fails is not tried again, and nothing changes', async (t) => {
  const watched = watch(t, 'successors fail')
  const slot = slotZero(watched)
  watched.slots.start()
  await watched.until(allReady(watched))
  t.equal(await watched.slots.startSuccessor(slot, 1), 'exit code 3')
  t.strictSame(watched.slots.all, [slot])
  t.equal(slot.state, 'ready')
})

t.test('a worker that dies while it retires is not replaced once more', async (t) => {
  const watched = watch(t, 'retires badly')
  const slot = slotZero(watched)
  watched.slots.start()
  await watched.until(allReady(watched))
  const successor = await watched.slots.startSuccessor(slot, 1)
  t.equal(await watched.slots.retire(slot), 'exit code 5')
  t.strictSame(watched.slots.all, [successor])
})

t.test('stop during a replacement', async (t) => {
  const watched = watch(t, 'serve')
  watched.slots.start()
  await watched.until(allReady(watched))
  const successor = watched.slots.startSuccessor(slotZero(watched), 1)
  await watched.slots.stop(60_000, 0)
  t.equal(await successor, 'the server stops')
  t.strictSame(watched.slots.all.map(({ state }) => state), ['gone', 'gone'])
})
