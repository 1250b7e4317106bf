/**
 * The live page at 10,000 points/s of 1,000 satellites: what 20 open pages and 200 readers of the feed that never read
 * cost the server, frames per second of one page, and the heap of a tab over an hour with time sped up.
 */
import type { Page } from 'playwright-core'
import { runIncoming, TEN_THOUSAND } from '../../rigs/incoming.js'
import { withServer } from '../../rigs/own-server.js'
import type { RunRecord } from '../../result.js'
import type { Results, Session } from '../../session.js'
import { latencyOf } from '../../statistics.js'
import { warmUp } from '../warm-up.js'
import { browserMissing, PageBrowser } from './browser.js'
import { measureHeap } from './heap.js'
import { SilentReaders } from './silent-readers.js'

const TABS = 20
const TABS_QUICK = 3
const SILENT = 200
const FEED = '/feed?parts=fleet,satellites,anomalies'
const FRAMES = 'frames'

export async function measurePage (session: Session, results: Results): Promise<void> {
  await withServer(session, {}, async (own) => {
    await warmUp(own)
    const add = (name: string, title: string, run: RunRecord): void => {
      results.add('page', name, title, 'points/s', run)
    }
    const load = { ...TEN_THOUSAND, seconds: own.plan.besideSeconds }
    add('page_none', '10,000 points/s, nobody watches', await runIncoming(own, load))
    add('page_silent', `10,000 points/s, ${SILENT} readers of /feed that never read`, await besideSilent(own))
    const missing = browserMissing()
    if (missing !== null) {
      results.skip('pages in a browser', missing)
      return
    }
    await PageBrowser.use(async (browser) => {
      const tabs = own.plan.thorough ? TABS : TABS_QUICK
      add('page_tabs', `10,000 points/s, ${tabs} open pages`, await besideTabs(own, browser, tabs))
      results.add('page', 'page_frames', 'one page at 10,000 points/s, time between frames', 'frames/s',
        await countFrames(own, browser))
      await measureHeap(own, browser, results)
    })
  })
}

async function besideSilent (own: Session): Promise<RunRecord> {
  const load = { ...TEN_THOUSAND, seconds: own.plan.besideSeconds }
  const readers = await SilentReaders.open(own.server.port, FEED, SILENT)
  try {
    const run = await runIncoming(own, load)
    return { ...run, problems: [...run.problems, ...readers.problems()] }
  } finally {
    readers.close()
  }
}

async function besideTabs (own: Session, browser: PageBrowser, tabs: number): Promise<RunRecord> {
  const pages: Page[] = []
  while (pages.length < tabs) pages.push(await browser.open(own.server.url))
  const load = { ...TEN_THOUSAND, seconds: own.plan.besideSeconds }
  const run = await runIncoming(own, load, async (sending) => {
    const cost = browser.costs()
    await sending
    return cost()
  })
  for (const page of pages) await page.context().close()
  return run
}

/** Times between animation frames, in milliseconds, for as many seconds as given. */
const framesOf = (seconds: number): string => `new Promise((resolve) => {
  const ${FRAMES} = []
  const beginMs = performance.now()
  let lastMs = NaN
  const frame = (nowMs) => {
    if (!Number.isNaN(lastMs)) ${FRAMES}.push(nowMs - lastMs)
    lastMs = nowMs
    if (nowMs - beginMs < ${seconds * 1000}) requestAnimationFrame(frame)
    else resolve(${FRAMES})
  }
  requestAnimationFrame(frame)
})`

/** The latency is the time from one frame to the next. */
async function countFrames (own: Session, browser: PageBrowser): Promise<RunRecord> {
  const seconds = own.plan.besideSeconds
  const page = await browser.open(own.server.url)
  let frames: number[] = []
  const run = await runIncoming(own, { ...TEN_THOUSAND, seconds }, async (sending) => {
    const cost = browser.costs()
    frames = await page.evaluate<number[]>(framesOf(seconds))
    await sending
    return cost()
  })
  await page.context().close()
  return { ...run, rate: frames.length / seconds, latency: latencyOf(frames) }
}
