/** Serving the live page's files, on both engines. */
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { gunzipSync } from 'node:zlib'
import t from 'tap'
import { request } from 'undici'
import { createPageRoutes, type PageFile } from '../../../../../lib/ingress/http/page/page-routes.js'
import { readPageFiles } from '../../../../../lib/worker/page-files.js'
import { temporaryDirectory } from '../../../../support/database/postgres.js'
import { RawClient, errorOf, onBothEngines, startRig, type Rig } from '../engines/rig.js'

const SCRIPT = 'export const text = "ü"\n'.repeat(100)
const BROWSER = 'text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8'

async function filesOf (): Promise<PageFile[]> {
  const directory = await temporaryDirectory(t)
  await writeFile(join(directory, 'index.html'), '<!doctype html><title>live</title>')
  await writeFile(join(directory, 'app.js'), SCRIPT)
  await writeFile(join(directory, 'notes.md'), 'not served')
  await writeFile(join(directory, 'metrics'), 'not served')
  await mkdir(join(directory, 'more'))
  return await readPageFiles(pathToFileURL(`${directory}/`))
}

const files = await filesOf()
type Get = (path: string, headers?: Record<string, string>) => ReturnType<Rig['send']>
const getOf = ({ send }: Rig): Get => async (path, headers = {}) => await send(path, { method: 'GET', headers })

t.test('a directory that is not there has no files', async (t) => {
  t.strictSame(await readPageFiles(new URL('file:///nowhere/page/')), [])
  t.strictSame(files.map(({ name }) => name).sort(), ['app.js', 'index.html'])
})

onBothEngines('browsers get the page at /, others the index of endpoints', async (t, engine) => {
  const rig = await startRig(t, engine, { page: (json) => createPageRoutes(files, json), apiTokens: ['secret'] })
  const get = getOf(rig)
  const page = await get('/', { accept: BROWSER })
  t.match(page, { status: 200, text: '<!doctype html><title>live</title>' })
  t.match(page.headers, {
    'content-type': 'text/html; charset=utf-8',
    'cache-control': 'no-cache',
    vary: 'accept, accept-encoding',
    'x-content-type-options': 'nosniff',
    'referrer-policy': 'no-referrer',
    'content-security-policy': "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; " +
      "img-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
  })
  for (const accept of ['*/*', 'application/json', 'application/json, text/html;q=0.5', 'text/html;q=0']) {
    const denied = await get('/', { accept })
    t.equal(denied.status, 401, 'the index needs a token, the page does not')
    t.equal(errorOf(denied).code, 'unauthorized')
    const index = await get('/', { accept, authorization: 'Bearer secret' })
    t.match(index.headers, { 'content-type': 'application/json', vary: 'accept' })
    t.match(JSON.parse(index.text), { name: 'OrbitStream' })
    t.notMatch(index.text, 'app.js')
  }
  t.equal((await rig.send('/', { method: 'POST', headers: { accept: BROWSER } })).status, 405)
})

onBothEngines('files: compressed, revalidated, and only those that are there', async (t, engine) => {
  const rig = await startRig(t, engine, { page: (json) => createPageRoutes(files, json) })
  const get = getOf(rig)
  const plain = await get('/app.js')
  t.equal(plain.text, SCRIPT)
  t.match(plain.headers, { 'content-type': 'text/javascript; charset=utf-8', 'content-encoding': undefined })
  const { headers, body } = await request(`${rig.origin}/app.js`, { headers: { 'accept-encoding': 'br, gzip' } })
  t.equal(headers['content-encoding'], 'gzip')
  t.equal(gunzipSync(Buffer.from(await body.arrayBuffer())).toString(), SCRIPT)
  t.not(headers['etag'], plain.headers['etag'])
  t.equal((await get('/app.js', { 'accept-encoding': 'gzip;q=0' })).headers['content-encoding'], undefined)
  const etag = String(plain.headers['etag'])
  for (const tags of [etag, `W/${etag}`, `"other", ${etag}`, '*']) {
    const same = await get('/app.js', { 'if-none-match': tags })
    t.match(same, { status: 304, text: '' })
    t.match(same.headers, { etag, 'cache-control': 'no-cache', 'content-length': undefined })
  }
  t.equal((await get('/app.js', { 'if-none-match': '"other"' })).status, 200)
  for (const path of ['/notes.md', '/more', '/app.js/', '/..%2fapp.js', '/index.html']) {
    t.equal((await get(path)).status, 404, path)
  }
  t.equal((await get('/metrics')).headers['content-type'], 'application/json', 'an endpoint takes precedence')
})

onBothEngines('HEAD has the head of GET, and the connection goes on after it and after a 304', async (t, engine) => {
  const { server } = await startRig(t, engine, { page: (json) => createPageRoutes(files, json) })
  const client = await RawClient.open(t, server.port)
  const ask = (method: string, more = ''): void => client.write(`${method} /app.js HTTP/1.1\r\nhost: x\r\n${more}\r\n`)
  ask('HEAD')
  const head = await client.answer(false)
  t.match(head, { status: 200, headers: { 'content-length': String(Buffer.byteLength(SCRIPT)) } })
  ask('GET', `if-none-match: ${String(head.headers['etag'])}\r\n`)
  t.match(await client.answer(false), { status: 304 })
  ask('GET')
  t.equal((await client.answer()).headers['etag'], head.headers['etag'])
})

onBothEngines('without the page, / is the index for everybody', async (t, engine) => {
  const rig = await startRig(t, engine, { page: (json) => createPageRoutes([], json) })
  t.match(JSON.parse((await getOf(rig)('/', { accept: BROWSER })).text), { name: 'OrbitStream' })
})
