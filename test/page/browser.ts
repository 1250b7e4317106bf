/** Debian's Chromium, headless, and the accessibility check. */
import { access, readFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { chromium, type Browser, type Page } from 'playwright-core'
import type { Owner } from '../support/owner.js'

const CHROMIUM = process.env['CHROMIUM'] ?? '/usr/bin/chromium'
/** Generous: a browser on a busy machine takes its time. */
export const PATIENCE_MS = 60_000

/** Why no browser can be started; false: one can. */
export async function chromiumMissing (): Promise<string | false> {
  try {
    await access(CHROMIUM)
    return false
  } catch {
    return `no ${CHROMIUM} (Debian: apt install chromium; elsewhere set CHROMIUM)`
  }
}

export async function startBrowser (owner: Owner): Promise<Browser> {
  // Containers seldom allow the sandbox, and a small /dev/shm is usual there.
  const args = ['--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage']
  const browser = await chromium.launch({ executablePath: CHROMIUM, args, timeout: PATIENCE_MS })
  owner.teardown(() => browser.close())
  return browser
}

interface AxeResult {
  readonly violations: ReadonlyArray<{
    readonly id: string
    readonly impact: string | null
    readonly help: string
    readonly nodes: ReadonlyArray<{ readonly html: string }>
  }>
}

const SERIOUS: ReadonlySet<string | null> = new Set(['serious', 'critical'])
const axe = readFile(fileURLToPath(import.meta.resolve('axe-core/axe.min.js')), 'utf8')

const WCAG_A_AND_AA = ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa']

/**
 * Serious violations of WCAG A and AA, in words.
 * @param rules default: all
 */
export async function accessibilityFaults (page: Page, ...rules: string[]): Promise<string[]> {
  const runOnly = rules.length === 0 ? { type: 'tag', values: WCAG_A_AND_AA } : { type: 'rule', values: rules }
  if (await page.evaluate('typeof axe') === 'undefined') await page.evaluate(await axe)
  const { violations } = await page.evaluate<AxeResult>(
    `axe.run(${JSON.stringify({ runOnly, resultTypes: ['violations'] })})`)
  return violations.filter(({ impact }) => SERIOUS.has(impact))
    .map(({ id, help, nodes }) => `${id}: ${help}: ${nodes[0]?.html.slice(0, 200) ?? ''}`)
}
