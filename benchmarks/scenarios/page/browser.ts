/** Chromium, headless, with pages of a server. Its processor time belongs to the load. */
import { existsSync } from 'node:fs'
import { chromium, type Browser, type Page } from 'playwright-core'
import { childrenOf, cpuBetween, sampleCpu, treeOf, type CpuSample } from '../../processes.js'
import { addServer, refuseWhenEnding, removeServer } from '../../servers.js'
import { LOAD_ROLE } from '../../statistics.js'

const CHROMIUM = process.env['CHROMIUM'] ?? '/usr/bin/chromium'
/** Containers seldom allow the sandbox, and a small /dev/shm is usual there. */
const ARGUMENTS = ['--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage']
/** Twenty tabs on a busy machine take their time. */
const PATIENCE_MS = 120_000
const VIEWPORT = { width: 1440, height: 900 }

/** Why there is none; null: there is one. */
export function browserMissing (): string | null {
  return existsSync(CHROMIUM) ? null : `there is no ${CHROMIUM}: install Chromium, or set CHROMIUM`
}

export class PageBrowser {
  private constructor (private readonly browser: Browser, private readonly pid: number) {}

  /** Starts it, works with it, and closes it. */
  static async use (work: (browser: PageBrowser) => Promise<void>): Promise<void> {
    refuseWhenEnding()
    const before = new Set(childrenOf(process.pid))
    const browser = await chromium.launch({
      executablePath: CHROMIUM,
      args: ARGUMENTS,
      timeout: PATIENCE_MS,
      // The benchmark closes it itself, with its servers.
      handleSIGINT: false,
      handleSIGTERM: false,
      handleSIGHUP: false
    })
    const closing = { stop: () => browser.close() }
    addServer(closing)
    try {
      const pid = childrenOf(process.pid).find((child) => !before.has(child)) ?? 0
      await work(new PageBrowser(browser, pid))
    } finally {
      await closing.stop()
      removeServer(closing)
    }
  }

  /**
   * Opens a page; resolves when it shows what comes in. Each is that of another user: the tabs of one share six
   * connections to a server, and a page keeps one of them.
   * @param prepare before anything is loaded
   */
  async open (url: string, prepare: (page: Page) => Promise<void> = async () => {}): Promise<Page> {
    const context = await this.browser.newContext({ viewport: VIEWPORT })
    context.setDefaultTimeout(PATIENCE_MS)
    const page = await context.newPage()
    await prepare(page)
    await page.goto(url)
    await page.locator('.link.live').waitFor()
    return page
  }

  /** Processor seconds of all its processes from now until the result is called. */
  costs (): () => number {
    const before = this.sample()
    return () => cpuBetween(before, this.sample())[LOAD_ROLE] ?? 0
  }

  private sample (): CpuSample {
    return sampleCpu(new Map(treeOf(this.pid).map((pid) => [pid, LOAD_ROLE])))
  }
}
