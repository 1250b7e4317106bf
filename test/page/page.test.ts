/**
 * The live page in a real browser, against a real server: what it shows, how fast changes arrive, and that it says what
 * is wrong and recovers by itself. One server and one browser for all of it; the tests run in order.
 */
import { strict as assert } from 'node:assert'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import type { Page } from 'playwright-core'
import { eventually } from '../support/eventually.js'
import { readyWorkers } from '../support/programs/health.js'
import { startTestPostgres, temporaryDirectory, type TestPostgres } from '../support/database/postgres.js'
import { startIngest, type Ingest } from '../support/programs/program.js'
import { accessibilityFaults, chromiumMissing, PATIENCE_MS, startBrowser } from './browser.js'

/** An id, and the beginning of a title, that would run a script if they were taken for markup. */
const EVIL = '<img src=x onerror=owned=1>'
const SATELLITES = ['SAT-0001', 'SAT-0002', 'NOAA 19/a%b', EVIL]
const SEND_MS = 100
const CATALOGUE = JSON.stringify({
  catalogue: 1,
  streams: {
    telemetry: {
      metrics: {
        bus_voltage: { id: 1, title: `Bus ${EVIL}`, unit: 'V', resolution: 0.1, limits: { low: { critical: 20 } } },
        temperature: { id: 2, title: 'Temperature', unit: '°C' },
        mode: { id: 3, title: 'Mode', type: 'state', states: { SAFE: 0, NOMINAL: 1, LOST: 7 } },
        heater: { id: 4, title: 'Heater', type: 'bool' }
      }
    }
  }
})

/** Sends a point of each satellite, again and again, whether anybody takes it or not. */
function startSending (url: string): () => void {
  const timer = setInterval(() => {
    const points = SATELLITES.map((id) => ({
      satellite_id: id, bus_voltage: 28 + Math.random(), temperature: 21, mode: 'NOMINAL', heater: true
    }))
    void post(`${url}/telemetry/batch`, points).catch(() => undefined)
  }, SEND_MS)
  return () => clearInterval(timer)
}

async function post (url: string, value: unknown): Promise<void> {
  const answer = await fetch(url, {
    method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(value)
  })
  if (answer.status !== 202) throw new Error(await answer.text())
}

async function patchLimits (url: string, limits: object, headers: Record<string, string> = {}): Promise<void> {
  const answer = await fetch(`${url}/limits/bus_voltage`, { method: 'PATCH', headers, body: JSON.stringify(limits) })
  if (!answer.ok) throw new Error(await answer.text())
}

async function seen (page: Page, text: string | RegExp): Promise<void> {
  await page.getByText(text).first().waitFor({ timeout: PATIENCE_MS })
}

async function live (page: Page): Promise<void> {
  await page.locator('.link.live').waitFor({ timeout: PATIENCE_MS })
}

/** The name of a view. */
function titleOf (hash: string): RegExp {
  const [, view = '', id] = hash.split('?')[0]?.split('/') ?? []
  return new RegExp(`^${id ?? (view === '' ? 'fleet' : view)}$`, 'i')
}

/** One server, one browser with one page. */
interface Scene {
  readonly page: Page
  readonly url: string
  readonly postgres: TestPostgres
  /** The one that runs now. */
  server: Ingest
  readonly start: (port?: string, env?: Record<string, string>) => Promise<Ingest>
  readonly stopSending: () => void
  /** Goes where a link would go, without loading the page again; resolves when the view is there. */
  readonly go: (hash: string) => Promise<void>
}

/** What it shows, and what users change. */
async function shows (t: Test, { page, url, go }: Scene): Promise<void> {
  await t.test('the fleet and its points appear; ids are text', async (t) => {
    await page.goto(url)
    await page.evaluate('marker = 1')
    await page.locator('[data-rate]:not([data-rate=""])').waitFor()
    for (const id of SATELLITES) await page.locator('.tile .id').getByText(id, { exact: true }).waitFor()
    t.equal(await page.locator('main img').count(), 0)
    t.equal(await page.evaluate('typeof owned'), 'undefined')
  })

  await t.test('the arrow keys move between satellites, Enter opens one, its values are there', async (t) => {
    await page.locator('.tile[tabindex="0"]').focus()
    await page.keyboard.press('End')
    await page.keyboard.press('Enter')
    await page.getByRole('heading', { level: 1, name: 'SAT-0002' }).waitFor()
    await page.locator('[data-metric=bus_voltage]').getByText(/^2[89]\.\d/).waitFor()
    await page.locator('.chart canvas').first().waitFor()
    await page.locator('[data-metric=mode]').getByText('NOMINAL').waitFor()
    await page.locator('[data-metric=heater]').getByText('true').waitFor()
    await page.getByRole('region', { name: 'Chart of Mode' }).getByText('NOMINAL').waitFor()
    await seen(page, `Bus ${EVIL}`)
    t.equal(await page.locator('main img').count(), 0)
  })

  await t.test('limits changed elsewhere move states and lines', async (t) => {
    await patchLimits(url, { low: { critical: 40 } }, { 'x-changed-by': EVIL })
    await page.getByText('critical below 40').first().waitFor()
    await page.locator('.badge.critical').waitFor()
    t.match(await page.locator('.chart').first().getAttribute('aria-label'), 'critical below 40')
    await patchLimits(url, { low: { critical: 20 } })
    await page.locator('.badge.ok').waitFor()
  })

  await t.test('an anomaly appears as it is found', async (t) => {
    await go('#/anomalies?satellite=TEST-01')
    await seen(page, 'No anomalies with these filters.')
    await post(`${url}/telemetry`, { satellite_id: 'TEST-01', bus_voltage: 7.3 })
    const row = page.getByRole('row', { name: /TEST-01/ })
    await row.waitFor()
    t.match(await row.innerText(), /Critical\s+TEST-01\s+Bus.+7\.3\s*V\s+below 20/s)
    await page.getByRole('button', { name: 'Pause' }).click()
    await page.getByRole('button', { name: 'Warning' }).click()
    await seen(page, 'No anomalies with these filters were there when you paused.')
    await page.getByRole('button', { name: 'Continue' }).click()
    await seen(page, 'No anomalies with these filters.')
  })

  await t.test('limits are changed on the page; a change in between is a conflict, not a loss', async (t) => {
    await go('#/limits')
    await seen(page, EVIL)
    await page.getByRole('button', { name: 'Change limits of Temperature' }).click()
    await page.getByLabel('Warning above').fill('80')
    await page.getByLabel('Your name').fill('Zoë')
    await patchLimits(url, { low: { critical: 21 } })
    await page.getByRole('button', { name: 'Save' }).click()
    await seen(page, /Not saved: .* made version/)
    await page.getByRole('button', { name: 'Save' }).click()
    await page.getByRole('dialog').waitFor({ state: 'hidden' })
    await seen(page, 'http: Zoë')
    const { limits } = await (await fetch(`${url}/limits`)).json() as { limits: { default: Record<string, unknown> } }
    t.same(limits.default, { bus_voltage: { low: { critical: 21 } }, temperature: { high: { warning: 80 } } })
  })
}

/** What it shows of states. */
async function showsStates (t: Test, { page, url, go }: Scene): Promise<void> {
  await t.test('limits of a state are lists of its names', async (t) => {
    await page.getByRole('button', { name: 'Change limits of Mode' }).click()
    await page.getByLabel('LOST').selectOption('Critical')
    await page.getByRole('button', { name: 'Save' }).click()
    await page.getByRole('dialog').waitFor({ state: 'hidden' })
    await seen(page, 'Critical when LOST')
    await post(`${url}/telemetry`, { satellite_id: 'TEST-02', mode: 'LOST' })
    await go('#/anomalies?satellite=TEST-02')
    const row = page.getByRole('row', { name: /TEST-02/ })
    await row.waitFor()
    t.match(await row.innerText(), /Critical\s+TEST-02\s+Mode\s+LOST/)
    await go('#/satellite/TEST-02')
    await page.locator('.badge.critical').waitFor()
    await seen(page, 'critical when LOST')
    await go('#/')
    const latest = page.locator('.latest li', { hasText: 'TEST-02' }).first()
    await latest.waitFor({ state: 'attached' })
    t.match(await latest.textContent(), /Mode\s+LOST\s*$/, 'its name, and no limit that it would be above')
  })
}

/** By everybody. */
async function isUsable (t: Test, { page, go }: Scene): Promise<void> {
  await t.test('no serious fault in accessibility, light and dark', async (t) => {
    for (const hash of ['#/', '#/satellite/SAT-0001', '#/anomalies', '#/limits']) {
      await go(hash)
      await page.locator('main table').first().waitFor()
      t.same(await accessibilityFaults(page), [], hash)
      await page.emulateMedia({ colorScheme: 'dark' })
      t.same(await accessibilityFaults(page, 'color-contrast'), [], `${hash} in the dark`)
      await page.emulateMedia({ colorScheme: 'light' })
    }
    await page.getByRole('button', { name: 'Change limits of Temperature' }).click()
    t.same(await accessibilityFaults(page), [], 'the dialog')
    await page.keyboard.press('Escape')
  })

  await t.test('a phone needs no sideways scrolling', async (t) => {
    await page.setViewportSize({ width: 390, height: 844 })
    for (const hash of ['#/', '#/satellite/SAT-0001', '#/anomalies', '#/limits']) {
      await go(hash)
      await page.locator('main table').first().waitFor()
      t.equal(await page.evaluate('document.documentElement.scrollWidth'), 390, hash)
    }
    await page.setViewportSize({ width: 1440, height: 900 })
  })
}

/** What the server does not send, or sends only with very many satellites. */
async function showsAnswers (t: Test, { page, url, go }: Scene): Promise<void> {
  await t.test('what another program answers is said, and asked for again', async () => {
    await go('#/anomalies')
    await page.route('**/limits', async (route) => {
      await route.fulfill({ contentType: 'text/html', body: '<h1>Sign in</h1>' })
    })
    await go('#/limits')
    await seen(page, 'a proxy may have answered')
    await page.unroute('**/limits')
    await page.getByRole('heading', { level: 1, name: 'Limits' }).waitFor()
    await page.getByRole('cell', { name: 'first limits' }).waitFor()
  })

  await t.test('why the feed is refused is said', async () => {
    const error = { code: 'too_many_streams', message: 'This worker already serves 256 such streams; retry later.' }
    await page.route('**/feed?*', async (route) => { await route.fulfill({ status: 503, json: { error } }) })
    await go('#/')
    await seen(page, 'This worker already serves 256 such streams; retry later. Figures may be out of date')
    await page.unroute('**/feed?*')
    await live(page)
  })

  await t.test('of a fleet that the page does not hold, satellites are found by id and state', async () => {
    const large = await page.context().newPage()
    const found = { satellite_id: 'LOST-1', state: 'ok', streams: { telemetry: { time: new Date(), state: 'ok' } } }
    await large.route('**/satellites?*', async (route) => {
      const satellites = route.request().url().includes('match=lost') ? [found] : []
      await route.fulfill({ json: { total: 30_000, limits_version: 1, next: null, satellites } })
    })
    await large.goto(`${url}/#/?search=lost&state=ok`)
    await large.getByRole('row', { name: /LOST-1/ }).waitFor()
    await large.getByRole('button', { name: 'Critical' }).click()
    await large.getByText(/^0 shown/).waitFor()
    await large.close()
  })
}

/** What is wrong is said, and goes by itself. */
async function recovers (t: Test, scene: Scene): Promise<void> {
  const { page, url, postgres, start, stopSending, go } = scene
  await t.test('the database goes and comes back', async () => {
    await go('#/')
    await postgres.kill()
    await page.getByRole('status', { name: 'Problems' }).getByText('The database is unavailable').waitFor()
    await postgres.start()
    await page.getByText('The database is unavailable').waitFor({ state: 'hidden' })
  })

  await t.test('a worker is killed: the page says so and goes on', async () => {
    const [worker] = await readyWorkers(url)
    assert.ok(worker !== undefined, 'a worker is ready')
    process.kill(worker.pid, 'SIGKILL')
    await seen(page, /A worker (is down|has just been restarted)/)
    await live(page)
    await post(`${url}/telemetry`, { satellite_id: 'AFTER-01', bus_voltage: 28 })
    await page.locator('.tile .id').getByText('AFTER-01').waitFor()
  })

  await t.test('the server stops and starts: connection lost, then everything again, without a reload', async (t) => {
    await scene.server.program.stop()
    await page.getByRole('status', { name: 'Problems' }).getByText('Connection lost').waitFor()
    scene.server = await start(new URL(url).port)
    await page.getByText('Connection lost').waitFor({ state: 'hidden' })
    await live(page)
    await post(`${url}/telemetry`, { satellite_id: 'AFTER-02', bus_voltage: 28 })
    await page.locator('.tile .id').getByText('AFTER-02').waitFor()
    t.equal(await page.evaluate('marker'), 1)
  })

  await t.test('where tokens are set, the page asks for one, once', async (t) => {
    stopSending()
    await scene.server.program.stop()
    scene.server = await start(new URL(url).port, { API_TOKENS: 'a-token-of-the-page-tests' })
    await page.getByRole('heading', { name: 'This server needs a token' }).waitFor()
    t.same(await accessibilityFaults(page), [])
    const token = page.getByLabel(/^Token/)
    await token.fill('a-wrong-token-for-the-page')
    await token.press('Enter')
    await seen(page, /That token was not accepted/)
    await token.fill('a-token-of-the-page-tests')
    await token.press('Enter')
    await live(page)
    await page.locator('.tile .id').getByText('SAT-0001').waitFor()
    await page.reload()
    await live(page)
    await eventually('the fleet is there after a reload, without a question', PATIENCE_MS, async () => (
      await page.locator('.tile').count() > 0 && !await page.getByRole('dialog').isVisible() ? true : undefined))
  })
}

const skip = await chromiumMissing()

t.setTimeout(300_000)

t.test('the live page', { skip }, async (t) => {
  const postgres = await startTestPostgres(t)
  const dataDir = await temporaryDirectory(t)
  const catalogue = join(dataDir, 'catalogue.json')
  await writeFile(catalogue, CATALOGUE)
  const start = async (port = '0', env: Record<string, string> = {}): Promise<Ingest> => await startIngest(t, {
    dataDir, databaseUrl: postgres.url, port, args: ['--workers', '1'], env: { CATALOGUE: catalogue, ...env }
  })
  const [server, browser] = await Promise.all([start(), startBrowser(t)])
  const { url } = server
  const stopSending = startSending(url)
  t.teardown(stopSending)
  const context = await browser.newContext({ viewport: { width: 1440, height: 900 } })
  context.setDefaultTimeout(PATIENCE_MS)
  const page = await context.newPage()
  const errors: string[] = []
  page.on('pageerror', (error) => errors.push(String(error)))
  page.on('console', (message) => { if (/Content Security Policy/.test(message.text())) errors.push(message.text()) })
  const go = async (hash: string): Promise<void> => {
    await page.evaluate(`location.hash = ${JSON.stringify(hash)}`)
    await page.getByRole('main', { name: titleOf(hash) }).waitFor()
  }
  const scene: Scene = { page, url, postgres, server, start, stopSending, go }
  await shows(t, scene)
  await showsStates(t, scene)
  await isUsable(t, scene)
  await showsAnswers(t, scene)
  await recovers(t, scene)
  t.same(errors, [], 'no exception, and nothing that the Content-Security-Policy forbids')
})
