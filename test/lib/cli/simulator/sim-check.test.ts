/** `sim check`: its verdict, and what it says if there is nothing to compare. */
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { check } from '../../../../lib/cli/simulator/sim-check.js'
import { readTruth, TruthFile, type TrueAnomaly } from '../../../../lib/sim/fleet/truth.js'
import { refuse, startServer, type Answer } from '../../sim/send/http-server.js'

const TIME = '2026-11-23T12:00:00.250Z'
const anomalyOf = (satellite: number): TrueAnomaly =>
  ({ satellite_id: `SAT-${satellite}`, metric: 'battery', time: TIME, value: satellite })

async function truthOf (t: Test, anomalies: readonly TrueAnomaly[]): Promise<string> {
  const path = join(t.testdir(), 'truth')
  const file = await TruthFile.open(path)
  for (const { satellite_id: id, metric, time, value } of anomalies) file.write(id, metric, Date.parse(time), value)
  await file.close()
  return path
}

async function run (...argv: string[]): Promise<{ code: number, out: string, err: string }> {
  let [out, err] = ['', '']
  const code = await check(argv, 'orbitstream-sim', {
    print: (text) => { out += text }, complain: (text) => { err += text }
  })
  return { code, out, err }
}

/** A page of anomalies for each request. */
const pages = (...list: ReadonlyArray<readonly TrueAnomaly[]>): Answer => {
  let page = 0
  return (_request, response) => {
    const anomalies = list[page++] ?? []
    response.end(JSON.stringify({ anomalies, next: page < list.length ? String(page) : null }))
  }
}

t.test('pages are compared as a whole; what is missing is waited for', async (t) => {
  const truth = await truthOf(t, [1, 2, 3].map(anomalyOf))
  const all = await startServer(t, pages([1, 2].map(anomalyOf), [anomalyOf(3)]))
  t.match(await run(truth, '--api-url', all.url.href), { code: 0, out: 'found 3, missed 0, false 0', err: '' })
  const other = await startServer(t, pages([1, 2, 4].map(anomalyOf)))
  t.same(await run(truth, '--api-url', other.url.href, '--wait', '0'), {
    code: 1,
    out: `found 2, missed 1, false 1\n  missed: SAT-3 battery ${TIME} 3\n  false: SAT-4 battery ${TIME} 4`,
    err: ''
  })
  let asked = 0
  const late = await startServer(t, (request, response) => pages(++asked < 3 ? [] : [1, 2, 3].map(anomalyOf))(
    request, response))
  t.match(await run(truth, '--api-url', late.url.href, '--wait', '60s'), { code: 0 })
  const json = await run(truth, '--api-url', other.url.href, '--wait', '0', '--json')
  t.match(JSON.parse(json.out), { found: 0, missed: [1, 2, 3].map(anomalyOf), false: [] })
  t.match(await run(await truthOf(t, []), '--api-url', 'http://127.0.0.1:1'), { code: 0, out: /^found 0/ }, 'no anomaly')
})

t.test('without an answer that can be compared: one sentence', async (t) => {
  const truth = await truthOf(t, [anomalyOf(1)])
  const cases: Array<[Answer, RegExp]> = [
    [refuse(401, 'unauthorized'), /^error: http:\S+\/anomalies answers 401: .*"unauthorized".*$/],
    [(_, response) => response.end('<html>'), /^error: http:\S+\/anomalies is not served by OrbitStream; check --api-url$/],
    [(_, response) => response.end('null'), /is not served by OrbitStream/],
    [(_, response) => response.end('{}'), /is not served by OrbitStream/]
  ]
  for (const [answer, err] of cases) {
    const { url } = await startServer(t, answer)
    t.match(await run(truth, '--api-url', url.href), { code: 1, out: '', err })
  }
  t.match(await run(truth, '--api-url', 'http://127.0.0.1:1'), {
    code: 1, err: 'error: no answer from http://127.0.0.1:1/anomalies: connection refused (ECONNREFUSED)'
  })
  t.match(await run(truth, '--api-url', 'ftp://x'), { code: 2, err: /^error: --api-url: must begin with http/ })
  t.match(await run(), { code: 2, err: /^error: missing FILE\n/ })
})

t.test('a file that is not of --truth is named with its line', async (t) => {
  const good = JSON.stringify(anomalyOf(1))
  const lines = ['{', 'null', '{}', '{"satellite_id":"a","metric":"b","time":"noon","value":1}']
  const directory = t.testdir(Object.fromEntries(lines.map((line, index) => [index, `${good}\r\n\n${line}\n`])))
  for (const index of lines.keys()) {
    const path = join(directory, String(index))
    t.same(await run(path), { code: 1, out: '', err: `error: ${path}, line 3: not an anomaly as written by --truth` })
  }
  t.match(await run(join(directory, 'none')), { code: 1, err: /^error: ENOENT: / })
  t.same(await readTruth(await truthOf(t, [anomalyOf(7)])), [anomalyOf(7)])
})

t.test('a truth file that cannot be created, or written to the end', async (t) => {
  await t.rejects(TruthFile.open(join(t.testdir(), 'none', 'truth')), { code: 'ENOENT' })
  const full = await TruthFile.open('/dev/full')
  full.write('SAT-1', 'battery', Date.parse(TIME), 1)
  await t.rejects(full.close(), { code: 'ENOSPC' })
  const lost = await TruthFile.open('/dev/full')
  lost.write('SAT-1', 'battery', Date.parse(TIME), 1)
  await new Promise((resolve) => setImmediate(resolve))
  await t.rejects(lost.close(), { code: 'ENOSPC' }, 'also if that was known before')
})
