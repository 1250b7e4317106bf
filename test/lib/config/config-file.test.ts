/** The configuration file: what it may contain, where it ranks, and that it never echoes its values. */
import t from 'tap'
import { chmod, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { exampleFile, parseConfigFile, readConfigFile } from '../../../lib/config/config-file.js'
import { describeConfig, describeSettings, isGiven, loadConfig } from '../../../lib/config/config.js'
import { runIngest } from '../../support/programs/command.js'
import { temporaryDirectory } from '../../support/database/postgres.js'

t.test('values are text as in variables; lists may be sequences', (t) => {
  const text = '\uFEFF---\r\n# a comment\r\nport: 0\r\nread_open: on\r\nudp_port: [8081, 8082]\r\n' +
    'anomaly_threshold_signal: -90.5\r\nallowed_origins:\r\n  - https://a.example\r\n  - https://b.example\r\n'
  const { values, problems } = parseConfigFile(text)
  t.same(problems, [])
  const loaded = loadConfig({ env: {}, file: { path: 'x.yaml', values } })
  t.match(loaded, {
    ok: true,
    config: {
      port: 0,
      readOpen: 'on',
      udpPorts: [8081, 8082],
      threshold_signal_strength_dbm: -90.5,
      allowedOrigins: ['https://a.example', 'https://b.example']
    }
  })
  for (const empty of ['', '# port: 1\n', '---\n']) t.same(parseConfigFile(empty), { values: new Map(), problems: [] })
  t.end()
})

t.test('flags override variables, variables override the file, and that the defaults', (t) => {
  const { values } = parseConfigFile('port: 1\nbatch_size: 2\nretention: 90d\nworkers: 65')
  const sources = { flags: { port: '3' }, env: { BATCH_SIZE: '4', WORKERS: '1' }, file: { path: 'x.yaml', values } }
  const loaded = loadConfig(sources)
  if (!loaded.ok) throw new Error(JSON.stringify(loaded.problems))
  t.match(loaded.config, { port: 3, batchSize: 4, retentionMs: 90 * 86_400_000, workers: 1 })
  t.same(describeConfig(loaded.config, sources).filter(({ source }) => source === 'file'), [
    { name: 'RETENTION', value: '90d', source: 'file' }
  ])
  t.ok(isGiven('retentionMs', sources))
  t.match(loadConfig({ env: {}, file: sources.file }), {
    ok: false, problems: [{ setting: 'x.yaml: workers', message: '65 is out of range: from 1 to 64' }]
  })
  t.end()
})

t.test('what a file may not contain', (t) => {
  const wrong: Array<[string, string]> = [
    ['host: 127.0.0.1\nprot: 5', 'line 2: "prot" is not a setting; did you mean port?'],
    ['BATCH-SIZE: 5', 'line 1: "BATCH-SIZE" is not a setting; did you mean batch_size?'],
    ['[port]: 5', 'line 1: "" is not a setting'],
    ['port:', 'line 1: port has no value; remove the line for the default'],
    ['port: [1]', 'line 1: port is not a single value'],
    ['reader_password: [hunter2, hunter3]', 'line 1: reader_password is not a single value'],
    ['udp_port: [1, [2]]', 'line 1: udp_port has an entry that is empty, contains a comma, or is not a single value'],
    ['api_tokens: ["hunter2-hunter2-hunter2,x"]',
      'line 1: api_tokens has an entry that is empty, contains a comma, or is not a single value'],
    ['udp_port: []', 'line 1: udp_port is an empty list'],
    ['port: &p 5\nworkers: *p', 'line 2: workers is an alias, which settings cannot have'],
    ['port: 1\nport: 2', 'line 2 is not valid YAML (DUPLICATE_KEY)'],
    ['port: 1\n---\nport: 2', 'line 2 is not valid YAML (MULTIPLE_DOCS)'],
    ['port: !!int 5', 'line 1 is not valid YAML (TAG_RESOLVE_FAILED)'],
    ['reader_password: "hunter2', 'line 1 is not valid YAML (MISSING_CHAR)'],
    ['hunter2', 'is not a mapping such as "port: 8080"']
  ]
  for (const [text, problem] of wrong) t.same(parseConfigFile(text).problems, [problem], text)
  for (const nested of ['- '.repeat(30_000), 'a: ' + '['.repeat(60_000), '{? '.repeat(20_000), 'port: [[[[8080]]]]']) {
    t.same(parseConfigFile(nested).problems, ['is nested too deeply for settings'], nested.slice(0, 5))
  }
  for (const hostile of ['k1: 1\nk2: 1\n'.repeat(2_000), '\0']) {
    const { length } = parseConfigFile(hostile).problems
    t.ok(length > 0 && length <= 20, hostile.slice(0, 5))
  }
  t.end()
})

t.test('the example has every setting, and its values are the defaults', (t) => {
  const example = exampleFile()
  t.ok(example.split('\n').every((line) => line === '' || (line.startsWith('#') && line.length <= 100)))
  t.same(parseConfigFile(example), { values: new Map(), problems: [] })
  const lines = [...example.matchAll(/^#([a-z_]+:.*)$/gm)].map(([, line = '']) => line)
  t.same(lines.map((line) => line.split(':', 1)[0]), describeSettings().map(({ fileKey }) => fileKey))
  const { values, problems } = parseConfigFile(lines.filter((line) => !line.endsWith(':')).join('\n'))
  t.same(problems, [])
  t.same(loadConfig({ env: {}, file: { path: '', values } }), loadConfig({ env: {} }))
  t.end()
})

t.test('files: too large, not there, open to all; the programs read them', async (t) => {
  const directory = await temporaryDirectory(t)
  const path = join(directory, 'orbitstream.yaml')
  t.match(await readConfigFile(path), { ok: false, problems: [`${path}: cannot be read: ENOENT`] })
  t.match(await readConfigFile(directory), { ok: false, problems: [/cannot be read: EISDIR/] })
  await writeFile(path, `# ${'x'.repeat(65_535)}`)
  t.match(await readConfigFile(path), { ok: false, problems: [`${path}: is larger than 65536 bytes`] })
  await writeFile(path, 'batch_size: 17\nreader_password: hunter2-hunter2')
  await chmod(path, 0o644)
  const [open, closed, wrong] = [
    await runIngest(['config', '--json', '--config', path]),
    (await chmod(path, 0o600), await runIngest(['config', '--json'], { CONFIG_FILE: path })),
    (await writeFile(path, 'batchsize: 1'), await runIngest(['health'], { CONFIG_FILE: path }))
  ]
  t.match(open, { code: 0, err: `warning: ${path} contains reader_password and is readable by every user` })
  t.match(closed, { code: 0, err: /^$/ })
  t.match(JSON.parse(closed.out), {
    BATCH_SIZE: { value: '17', source: 'file' }, READER_PASSWORD: { value: '***', source: 'file' }
  })
  t.match(wrong, { code: 2, err: /line 1: "batchsize" is not a setting; did you mean batch_size\?/ })
  t.match(await runIngest(['config', '--example']), { code: 0, out: /^# OrbitStream settings\./ })
})
