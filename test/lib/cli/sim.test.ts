/** orbitstream-sim from the outside: what it says if it cannot run. */
import { join } from 'node:path'
import t from 'tap'
import { runProgram } from '../../support/programs/command.js'
import { accept, refuse, startServer } from '../sim/send/http-server.js'

t.test('one sentence and an exit code', async (t) => {
  const { url, received } = await startServer(t, (request, response) =>
    (request.path === '/catalogue' ? refuse(404, 'not_found') : accept)(request, response))
  const closed = await startServer(t, (request, response) =>
    (request.path === '/catalogue' ? refuse(401, 'unauthorized') : accept)(request, response))
  const cases: Array<[number, string, RegExp]> = [
    [1, `--truth ${join(t.testdir(), 'none', 'x')}`, /^error: ENOENT: [^\n]*\n$/],
    [1, '--transport udp --udp-url udp://255.255.255.255:8081', /\nerror: connect EACCES 255\.255\.255\.255:8081\n$/],
    [2, '--transport udp --udp-url udp://127.0.0.1:0', /^error: --udp-url: needs a port/],
    [2, '--transport udp --udp-url udp://127.0.0.1', /^error: --udp-url: needs a port/],
    [2, '--transport udp --format json', /^error: --format json needs --transport http/],
    [2, '--transport udp --batch-size 2', /^error: --batch-size needs --transport http/],
    [2, `--transport udp --sender ${'x'.repeat(33)}`, /^error: --sender: at most 32 characters/],
    [2, '--udp-key a:b', /^error: --udp-key needs --transport udp/],
    [1, `--api-url ${closed.url.origin}`, /^error: http:\S+\/catalogue answers 401: .*unauthorized.*\n$/],
    [1, '--api-url http://127.0.0.1:1', /^error: no server answers at http:\S+: connection refused \(ECONNREFUSED\)\./]
  ]
  await Promise.all(cases.map(async ([code, line, err]) => {
    const words = ['-d', '1', ...line.includes('--api-url') ? [] : ['--api-url', url.origin], ...line.split(' ')]
    t.match(await runProgram('orbitstream-sim', words), { code, out: '', err }, line)
  }))
  t.equal(received.length, 0, 'nothing was sent')
})
