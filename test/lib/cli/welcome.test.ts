/** The block that start prints on a terminal. */
import { BUILT_IN } from '../../support/points/built-in.js'
import t from 'tap'
import { loadConfig } from '../../../lib/config/config.js'
import { welcome } from '../../../lib/cli/welcome.js'

function shown (env: Record<string, string>): string {
  const loaded = loadConfig({ env })
  if (!loaded.ok) throw new Error(JSON.stringify(loaded.problems))
  return welcome(loaded.config, 8123, BUILT_IN)
}

t.test('URLs and commands to try', t => {
  t.match(shown({}), 'http://127.0.0.1:8123/health')
  t.match(shown({}), 'http://127.0.0.1:8123/metrics')
  t.match(shown({}), 'curl http://127.0.0.1:8123/telemetry -H \'Content-Type: application/json\' -d ' +
    '\'{"satellite_id":"TEST-01","battery_charge_percent":87.5}\'\n')
  t.match(shown({}), 'psql "$(bin/orbitstream-ingest database-url)"')
  t.end()
})

t.test('reachable addresses', t => {
  t.match(shown({ HOST: '::' }), 'http://[::1]:8123/health')
  t.match(shown({ HOST: '::1' }), 'http://[::1]:8123/health')
  t.match(shown({ HOST: 'ingest.example' }), 'http://ingest.example:8123/health')
  t.end()
})

t.test('other databases and directories; tokens are not shown', t => {
  t.match(shown({ DATA_DIR: "/some/where's" }), "database-url --data-dir '/some/where'\\''s')")
  const text = shown({ DATABASE_URL: 'postgres://me:hunter2@h/d', API_TOKENS: 'hunter2-hunter2-hunter2' })
  t.match(text, 'psql "$DATABASE_URL"')
  t.match(text, "-H 'Authorization: Bearer <token>'")
  t.notMatch(text, 'hunter2')
  t.end()
})
