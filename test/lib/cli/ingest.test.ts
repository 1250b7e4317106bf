/** orbitstream-ingest from the outside: exit codes, and which output is used. */
import t from 'tap'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { configTable, describeSettings } from '../../../lib/config/config.js'
import { version } from '../../../lib/support/version.js'
import { environment, INGEST, runIngest, type Outcome } from '../../support/programs/command.js'

const run = async (line: string, settings: Record<string, string> = {}): Promise<Outcome> =>
  await runIngest(line.split(' ').filter(word => word !== ''), settings)

t.test('help and version go to standard output', async t => {
  const help = await run('--help')
  t.match(help, { code: 0, err: '', out: /^Usage: orbitstream-ingest <command>/ })
  for (const name of [
    'start', 'migrate', 'config', 'database-url', 'spool inspect', 'spool drain', 'quarantine list', 'quarantine retry',
    'quarantine drop', 'token create'
  ]) t.match(help.out, new RegExp(`^ {2}${name} +\\S`, 'm'))
  t.same(await run('--version'), { code: 0, err: '', out: `${version()}\n` })
  const command = await run('config --help')
  t.match(command, {
    code: 0,
    err: '',
    out:
      /--batch-size <integer> +Number of points at which a batch\s[^(]+\(default:\s+1000;\s+variable:\s+BATCH_SIZE\)/
  })
  for (const { flag } of describeSettings()) t.match(command.out, `--${flag} <`)
})

t.test('invalid usage goes to standard error, with code 2', async t => {
  const lines: Array<[string, RegExp]> = [
    ['', /^Usage: orbitstream-ingest <command>/],
    ['cnofig', /^error: "cnofig" is not a command; did you mean config\?\nTry: orbitstream-ingest --help\n$/],
    ['spool', /^Usage: orbitstream-ingest spool <command>/],
    ['spol inspect', /^error: "spol" is not a command; did you mean spool\?\nTry: orbitstream-ingest --help\n$/],
    [
      'spool inspct',
      /^error: "spool inspct" is not a command; did you mean spool inspect\?\nTry: orbitstream-ingest spool --help\n$/
    ],
    ['spool purple', /^error: "spool purple" is not a command\n/],
    ['spool --jsn', /^error: unknown option --jsn\n/],
    ['spool inspect now', /^error: unexpected argument "now"\nTry: orbitstream-ingest spool inspect --help\n$/],
    ['spool drain --timeout x', /^error: --timeout: /],
    ['spool drain --timeout 30d', /^error: --timeout: 30d is out of range: from 1ms to 24d\n/],
    ['restart', /^error: restart needs --rolling\n/],
    ['udp-key create a/b', /^error: id must consist of 1 to 32 letters/],
    ['udp-key create a --port 5 --udp-port off', /^error: port must be one of UDP_PORT\n/],
    ['quarantine list 5', /^error: unexpected argument "5"\n/],
    ['quarantine list --limit 0', /^error: --limit: 0 is out of range/],
    ['quarantine retry', /^error: select rows: give their ids, or --all\n$/],
    ['quarantine retry 1 --all', /^error: give ids or --all, not both\n$/],
    ['quarantine retry 1 07', /^error: "07" is not an id; quarantine list shows the ids\n$/],
    ['quarantine drop 9223372036854775808 --yes', /^error: "9223372036854775808" is not an id/],
    ['quarantine drop --all', /^error: these points were acknowledged and exist nowhere else; add --yes/],
    ['purple', /^error: "purple" is not a command\n/],
    ['-- config', /^error: "--" is not a command\n/],
    ['--prot 5 config', /^error: unknown option --prot\n/],
    [
      'config --batchsize 5',
      /^error: unknown option --batchsize; did you mean --batch-size\?\nTry: orbitstream-ingest config --help\n$/
    ],
    ['config --port', /^error: --port needs a value: <integer>\n/],
    [
      'config --port x --workers=-1',
      RegExp('^error: --port: "x" is not a whole number \\(from 0 to 65535\\)\n' +
        'error: --workers: -1 is out of range: from 1 to 64\nTry')
    ],
    ['config now', /^error: unexpected argument "now"\n/],
    ['config --json --markdown', /^error: --example, --json and --markdown are mutually exclusive\n$/]
  ]
  await Promise.all(lines.map(async ([line, err]) => t.match(await run(line), { code: 2, out: '', err }, line)))
})

t.test('problems of variables and flags are reported together, with a warning for a typo', async t => {
  const outcome = await run('config --batch-size 0', { LOG_LEVEL: 'inf', BATCH_TIMOUT: '5' })
  t.same(outcome, {
    code: 2,
    out: '',
    err: [
      'warning: The variable BATCH_TIMOUT is not a setting; did you mean BATCH_TIMEOUT?',
      'error: --batch-size: 0 is out of range: from 1 to 100000',
      'error: LOG_LEVEL: "inf" is not one of debug, info, warn, error; did you mean info?',
      'Try: orbitstream-ingest config --help',
      ''
    ].join('\n')
  })
})

t.test('config prints every setting with its source, secrets masked', async t => {
  const settings = {
    BATCH_SIZE: '17',
    DATABASE_URL: 'postgres://me:hunter2@h/d',
    API_TOKENS: 'hunter2-hunter2-hunter2'
  }
  const table = await run('config --port 81', settings)
  t.match(table, { code: 0, err: '' })
  t.notMatch(table.out, 'hunter2')
  t.match(table.out, /^PORT +81 +flag$/m)
  t.match(table.out, /^BATCH_SIZE +17 +environment$/m)
  t.match(table.out, /^BATCH_TIMEOUT +1s +default$/m)
  t.match(table.out, /^DATABASE_URL +postgres:\/\/me:\*\*\*@h\/d +environment$/m)
  t.equal(new Set(table.out
    .trimEnd()
    .split('\n')
    .map(line => line.search(/(flag|environment|default)$/))).size, 1, 'aligned')

  const json = await run('config --json --port 81', settings)
  t.match(JSON.parse(json.out), {
    PORT: { value: '81', source: 'flag' },
    BATCH_SIZE: { value: '17', source: 'environment' }
  })
  t.notMatch(json.out, 'hunter2')
  t.same(Object.keys(JSON.parse(json.out) as object), describeSettings().map(({ env }) => env))
})

t.test('config --markdown prints the table of docs/CONFIGURE.md', async t => {
  t.same(await run('config --markdown'), { code: 0, err: '', out: `${configTable()}\n` })
})

t.test('database-url prints a URL for psql', async t => {
  const given = 'postgres://me:hunter2@h/d'
  t.same(await run('database-url', { DATABASE_URL: given }), { code: 0, out: `${given}\n`, err: '' })
  t.same(await run(`database-url --database-url ${given}`), { code: 0, out: `${given}\n`, err: '' })
  const none = await run('database-url --data-dir /nowhere/at/all')
  t.same(none, {
    code: 1,
    out: '',
    err: 'error: there is no database in /nowhere/at/all yet; the first start creates it\n'
  })
})

t.test('an impossible DATA_DIR is named by every command that would create it', async t => {
  for (const line of ['migrate', 'limits get', 'quarantine list']) {
    t.match(
      await run(`${line} --data-dir /proc/x`),
      { code: 1, out: '', err: /^error: The DATA_DIR \/proc\/x cannot be created: choose another one\.\n$/ }, line)
  }
})

t.test('migrate reports an unreachable database in one sentence', async t => {
  t.match(await run('migrate --database-url postgres://me:hunter2@127.0.0.1:1/d'), {
    code: 1,
    err: /^error: The database cannot be reached: [^\n]*\n$/
  })
})

t.test('a group of commands has its own help', async t => {
  const group = await run('quarantine --help')
  t.match(group, { code: 0, err: '', out: /^Usage: orbitstream-ingest quarantine <command>/ })
  for (const name of ['list', 'retry', 'drop']) t.match(group.out, new RegExp(`^ {2}quarantine ${name} +\\S`, 'm'))
  t.notMatch(group.out, 'migrate')
  for (const name of ['spool inspect', 'spool drain', 'quarantine list', 'quarantine retry', 'quarantine drop']) {
    t.match(await run(`${name} --help`), { code: 0, err: '', out: `Usage: orbitstream-ingest ${name}` })
  }
})

t.test('without a spool there is nothing to inspect or drain; a missing directory is an error', async t => {
  const off = { code: 0, err: '', out: 'SPOOL_DIR is off: there are no points on disk.\n' }
  t.same(await run('spool inspect', { SPOOL_DIR: 'off' }), off)
  t.same(await run('spool drain', { SPOOL_DIR: 'off' }), off)
  for (const command of ['spool inspect', 'spool drain']) {
    t.same(await run(`${command} --spool-dir /nowhere/at/all`), {
      code: 1,
      out: '',
      err: 'error: there is no spool directory /nowhere/at/all; the first start creates it\n'
    })
  }
})

t.test('a reader that closes early is no failure', async t => {
  const child = spawn(process.execPath, [INGEST, 'config'], { env: environment({}), stdio: ['ignore', 'pipe', 'pipe'] })
  child.stdout.destroy()
  let err = ''
  child.stderr.on('data', (chunk: Buffer) => { err += chunk.toString() })
  const [code] = await once(child, 'close') as [number]
  t.same({ code, err }, { code: 0, err: '' })
})
