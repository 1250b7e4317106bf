/**
 * Makes the picture that README.md opens with: the fleet, from the running demo, into docs/images/page.webp.
 * Needs Debian's Chromium, or CHROMIUM.
 *
 *   npm run demo, and meanwhile: node docs/images/page.mjs
 */
import { fileURLToPath } from 'node:url'
import { writeFile } from 'node:fs/promises'
import { chromium } from 'playwright-core'

const url = process.argv[2] ?? 'http://localhost:8080/'
const to = fileURLToPath(new URL('page.webp', import.meta.url))
/** The charts fill while the page is open. */
const WATCH_MS = 60_000

const browser = await chromium.launch({
  executablePath: process.env['CHROMIUM'] ?? '/usr/bin/chromium',
  args: ['--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage']
})
try {
  const page = await browser.newPage({ viewport: { width: 1440, height: 900 }, colorScheme: 'dark' })
  await page.goto(url)
  await page.locator('[data-rate]:not([data-rate=""])').waitFor()
  await page.waitForTimeout(WATCH_MS)
  const { data } = await (await page.context().newCDPSession(page))
    .send('Page.captureScreenshot', { format: 'webp', quality: 90 })
  const picture = Buffer.from(data, 'base64')
  await writeFile(to, picture)
  console.log(`${to}: ${picture.length} bytes`)
} finally {
  await browser.close()
}
