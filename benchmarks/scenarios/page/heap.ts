/**
 * The heap of a tab over an hour with time sped up: a few seconds of a real feed are repeated with later and later
 * times, and the page's clock is moved along. Of the fleet with 1,000 satellites, and of one satellite.
 */
import { setTimeout as wait } from 'node:timers/promises'
import type { CDPSession, Page } from 'playwright-core'
import { satelliteOf } from '../../points.js'
import type { RunRecord } from '../../result.js'
import type { Results, Session } from '../../session.js'
import type { PageBrowser } from './browser.js'
import { Replay } from './replay.js'

const VIEWS = [
  { name: 'page_heap_fleet', title: 'the fleet', hash: '#/' },
  { name: 'page_heap_satellite', title: 'a satellite', hash: `#/satellite/${satelliteOf(0, 1_000)}` }
]
const RECORDED_MS = 5_000
const SATELLITES = 1_000
const SEND_MS = 250
/** A satellite sends once a second. */
const SENT_AT_ONCE = SATELLITES * SEND_MS / 1000
/** Less than the silence after which the page gives the feed up. */
const STEP_MS = 2_000
const MINUTE_MS = 60_000
const MINUTES = 60
const MINUTES_QUICK = 3
/** A slow machine ends it early, and says so. */
const REAL_MS_MAX = 480_000
/** Looks at the heap, evenly apart. After a third of them, all that is bounded in time is full. */
const LOOKS = 6
const LOOKS_BEFORE = LOOKS / 3
/** The page takes what is left of the recording. */
const SETTLE_MS = 1_000
/** For the page to take the events of a step: later, it has lost them. */
const TAKEN_MS_MAX = 30_000
/** Counts the events that the page has taken: it parses the data of each. */
const COUNTER = `(() => {
  const parse = JSON.parse
  let taken = 0
  JSON.parse = (...parameters) => {
    taken++
    return parse(...parameters)
  }
  globalThis.eventsTaken = () => taken
})()`
/** Kinds in peakBytes. */
export const TAB_BEFORE = 'tab before'
export const TAB_AFTER = 'tab after'

export async function measureHeap (own: Session, browser: PageBrowser, results: Results): Promise<void> {
  const minutes = own.plan.thorough ? MINUTES : MINUTES_QUICK
  for (const { name, title, hash } of VIEWS) {
    // An hour is long enough.
    if (results.medianRate(name) !== null) continue
    const replay = await Replay.start(own.server.url)
    try {
      const run = await speedUp(own, browser, replay, hash, minutes)
      results.add('page', name, `a tab with ${title} for ${minutes} minutes, time sped up`, 'events/s', run)
    } finally {
      replay.close()
    }
  }
}

async function speedUp (
  own: Session, browser: PageBrowser, replay: Replay, hash: string, minutes: number
): Promise<RunRecord> {
  const stopSending = startSending(own.server.url)
  const page = await browser.open(`${replay.url}/${hash}`, async (page) => {
    await page.addInitScript(COUNTER)
    await page.clock.install()
  }).finally(async () => {
    await wait(RECORDED_MS)
    stopSending()
  })
  replay.begin()
  await page.clock.pauseAt(await page.evaluate<number>('Date.now()') + STEP_MS)
  await wait(SETTLE_MS)
  const before = await taken(page)
  const inspector = await page.context().newCDPSession(page)
  const heaps: number[] = []
  const startMs = performance.now()
  const lookMs = minutes * MINUTE_MS / LOOKS
  for (let simulatedMs = STEP_MS; heaps.length < LOOKS && !isLate(startMs); simulatedMs += STEP_MS) {
    replay.advance(simulatedMs)
    await untilTaken(page, before + replay.events)
    await page.clock.runFor(STEP_MS)
    if (simulatedMs % lookMs === 0) heaps.push(await heapOf(inspector))
  }
  const seconds = (performance.now() - startMs) / 1000
  const problems = await lostProblems(page, replay)
  await page.context().close()
  return {
    rate: replay.events / seconds,
    seconds,
    sent: 0,
    acknowledged: 0,
    stored: 0,
    peakBytes: { [TAB_BEFORE]: heaps[LOOKS_BEFORE - 1] ?? NaN, [TAB_AFTER]: heaps.at(-1) ?? NaN },
    problems: [
      ...problems,
      ...heaps.length < LOOKS ? [`only ${heaps.length} of ${LOOKS} parts of ${minutes} minutes passed in time`] : []
    ],
    notes: [`heap ${heaps.map((bytes) => (bytes / 1e6).toFixed(1)).join(', ')} MB`]
  }
}

function isLate (startMs: number): boolean {
  return performance.now() - startMs > REAL_MS_MAX
}

async function lostProblems (page: Page, replay: Replay): Promise<string[]> {
  const isLive = await page.locator('.link.live').count() > 0
  return [
    ...replay.streams > 1 ? [`the page lost the feed ${replay.streams - 1} times`] : [],
    ...isLive ? [] : ['the page was not live at the end']
  ]
}

async function taken (page: Page): Promise<number> {
  return await page.evaluate<number>('eventsTaken()')
}

/** Rejects if the page does not take so many events. */
async function untilTaken (page: Page, events: number): Promise<void> {
  const startMs = performance.now()
  while (await taken(page) < events) {
    if (performance.now() - startMs > TAKEN_MS_MAX) throw new Error('the page has lost events of the feed')
  }
}

async function heapOf (inspector: CDPSession): Promise<number> {
  await inspector.send('HeapProfiler.collectGarbage')
  return (await inspector.send('Runtime.getHeapUsage')).usedSize
}

/** A quarter of the satellites every quarter of a second, one of them beyond a limit. */
function startSending (url: string): () => void {
  let turn = 0
  const timer = setInterval(() => {
    const first = turn++ * SENT_AT_ONCE
    const points = Array.from({ length: SENT_AT_ONCE }, (_, index) => ({
      satellite_id: satelliteOf(first + index, SATELLITES),
      battery_charge_percent: index === 0 ? 5 : 80 + Math.random(),
      signal_strength_dbm: -70
    }))
    fetch(`${url}/telemetry/batch`, {
      method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(points)
    }).then((answer) => answer.arrayBuffer()).catch(() => {})
  }, SEND_MS)
  return () => clearInterval(timer)
}
