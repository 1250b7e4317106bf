/** Command lines: values, defaults, help, and error messages. */
import t from 'tap'
import { parseArguments } from '../../../lib/cli/arguments.js'
import { version } from '../../../lib/support/version.js'
import type { ParsedArguments } from '../../../lib/cli/arguments.js'
import type { ArgumentsSpec, Option } from '../../../lib/cli/options.js'

const SPEC = {
  program: 'orbit',
  summary: 'Goes round.',
  options: [
    { name: 'satellites', alias: 's', type: 'integer', min: 1, default: 100, help: 'How many.' },
    { name: 'rate', type: 'number', min: 0, help: 'Points a second.' },
    { name: 'duration', alias: 'd', type: 'duration', bareUnit: 's', default: '60s', help: 'How long.' },
    { name: 'buffer', type: 'size', max: 1024 ** 2, default: 65_536, help: 'Bytes.', group: 'Tuning' },
    { name: 'transport', type: 'enum', values: ['http', 'udp'], default: 'http', help: 'How.' },
    {
      name: 'file',
      alias: 'f',
      type: 'string',
      placeholder: 'path',
      help: 'Where to.',
      note: 'standard output without it'
    },
    { name: 'limit', type: 'integer', min: -200, max: 0, help: 'dBm.' },
    { name: 'quiet', alias: 'q', type: 'boolean', help: 'Says less.' }
  ]
} as const satisfies ArgumentsSpec

const DEFAULTS = {
  satellites: 100,
  rate: undefined,
  duration: 60_000,
  buffer: 65_536,
  transport: 'http',
  file: undefined,
  limit: undefined,
  quiet: false
}

function parse (line: string, spec: ArgumentsSpec = SPEC): ParsedArguments<readonly Option[]> {
  return parseArguments(spec, line === '' ? [] : line.split(' '))
}

function exit (line: string, spec?: ArgumentsSpec): { exitCode: number, text: string } {
  const parsed = parse(line, spec)
  if (parsed.kind !== 'exit') throw new Error(`understood: ${JSON.stringify(parsed.values)}`)
  return parsed
}

t.test('values have the types of their options, at compile time too', t => {
  const parsed = parseArguments(SPEC, ['-s', '5', '--transport=udp', '--duration', '2m', '-q'])
  if (parsed.kind === 'exit') throw new Error(parsed.text)
  const satellites: number = parsed.values.satellites
  const transport: 'http' | 'udp' = parsed.values.transport
  const rate: number | undefined = parsed.values.rate
  const quiet: boolean = parsed.values.quiet
  t.same({ satellites, transport, rate, quiet }, { satellites: 5, transport: 'udp', rate: undefined, quiet: true })
  t.end()
})

t.test('omitted options have their defaults', t => {
  t.same(parse(''), { kind: 'run', values: DEFAULTS, positionals: [] })
  t.end()
})

t.test('ways to write an option', t => {
  const lines: Array<[string, object]> = [
    [
      '--satellites 5',
      { satellites: 5 }
    ], ['--satellites=5', { satellites: 5 }], ['-s=5', { satellites: 5 }], ['-qs 5', { quiet: true, satellites: 5 }],
    ['-d 60', { duration: 60_000 }], [
      '-d 1500ms',
      { duration: 1500 }
    ], ['--buffer 1MB', { buffer: 1024 ** 2 }], ['--rate 0.5', { rate: 0.5 }],
    ['-s5', { satellites: 5 }], ['-d1500ms', { duration: 1500 }], ['-f-', {
      file: '-'
    }], ['-f=a=b', { file: 'a=b' }], ['-fa=b', { file: 'a=b' }], ['-q -s3', { quiet: true, satellites: 3 }],
    ['--limit -100', { limit: -100 }], [
      '--limit=-100',
      { limit: -100 }
    ], ['-f -', { file: '-' }], ['-f 007', { file: '007' }], ['-f true', { file: 'true' }],
    ['--no-quiet', { quiet: false }], ['--quiet=false', { quiet: false }], ['-q -s 3', { quiet: true, satellites: 3 }]
  ]
  for (const [line, values] of lines) {
    t.same(parse(line), { kind: 'run', values: { ...DEFAULTS, ...values }, positionals: [] }, line)
  }
  t.end()
})

t.test('invalid command lines end with code 2 and say what would be valid', t => {
  const lines: Array<[string, string]> = [
    ['--satelites 5', 'unknown option --satelites; did you mean --satellites?'],
    ['--sat=5', 'unknown option --sat; did you mean --satellites?'],
    ['--helpp', 'unknown option --helpp; did you mean --help?'],
    ['--purple', 'unknown option --purple'],
    ['--__proto__ 1', 'unknown option --__proto__'],
    ['--constructor 1', 'unknown option --constructor'],
    ['-x', 'unknown option -x'],
    ['-qx', 'unknown option -x'],
    ['--no-purple', 'unknown option --no-purple'],
    ['--no-rate', 'unknown option --no-rate'],
    ['--satellites', '--satellites needs a value: 1 or more'],
    ['--satellites= -q', '--satellites needs a value: 1 or more'],
    ['--transport --quiet', '--transport needs a value: http, udp'],
    ['--file', '--file needs a value: <path>'],
    ['-s 0', '--satellites: 0 is out of range: 1 or more'],
    ['-s many', '--satellites: "many" is not a whole number (1 or more)'],
    ['-d 5x', '--duration: "5x" is not a duration such as 250ms, 1s, 5m, 2h or 30d'],
    ['--buffer 2MB', '--buffer: 2MB is out of range: 1MB or less'],
    ['--transport upd', '--transport: "upd" is not one of http, udp; did you mean udp?'],
    ['-s 1 --satellites 2', '--satellites is given more than once'],
    ['-q --quiet', '--quiet is given more than once'],
    ['here', 'unexpected argument "here"'],
    ['-q here', 'unexpected argument "here"'],
    ['-- -s', 'unexpected argument "-s"']
  ]
  for (const [line, problem] of lines) {
    t.same(exit(line), { kind: 'exit', exitCode: 2, text: `error: ${problem}\nTry: orbit --help` }, line)
  }
  t.end()
})

t.test('all bad values are reported together', t => {
  t.equal(exit('-s 0 there --rate=-1').text, [
    'error: unexpected argument "there"',
    'error: --satellites: 0 is out of range: 1 or more',
    'error: --rate: -1 is out of range: 0 or more',
    'Try: orbit --help'
  ].join('\n'))
  t.end()
})

t.test('a repeatable option', t => {
  const spec: ArgumentsSpec = { ...SPEC, options: [{ name: 'role', type: 'texts', help: '' }] }
  for (const [line, role] of [
    ['', []], ['--role a', ['a']], ['--role a --role=b --role a', ['a', 'b', 'a']], ['--role 007', ['007']]
  ] as const) t.same(parse(line, spec), { kind: 'run', values: { role }, positionals: [] }, line)
  for (const line of ['--role', '--role a --role']) {
    t.match(exit(line, spec).text, 'error: --role needs a value: text\n')
  }
  t.match(exit('--no-role', spec).text, 'error: unknown option --no-role\n')
  t.end()
})

t.test('positional arguments', t => {
  const spec: ArgumentsSpec = { ...SPEC, positionals: { usage: '<file> [<other>]', min: 1, max: 2 } }
  t.match(parse('a -q', spec), { positionals: ['a'] })
  t.match(parse('1 -- -s', spec), { positionals: ['1', '-s'] })
  t.match(exit('', spec).text, 'error: missing <file> [<other>]')
  t.match(exit('a b c', spec).text, 'error: unexpected argument "c"')
  t.match(exit('--help', spec).text, 'Usage: orbit <file> [<other>] [options]')
  t.end()
})

t.test('help and version, whatever else is wrong', t => {
  for (const line of ['--help', '-h', '-s 0 --help']) {
    t.match(exit(line), { exitCode: 0, text: /^Usage: orbit \[options\]\n\nGoes round\.\n/ }, line)
  }
  t.match(exit('--version'), { exitCode: 0, text: version() })
  t.match(version(), /^\d+\.\d+\.\d+/)
  t.end()
})

t.test('the help is aligned, grouped, and shows defaults as users write them', t => {
  t.equal(exit('--help', { ...SPEC, epilogue: 'Bye.' }).text, `Usage: orbit [options]

Goes round.

Options:
  -s, --satellites <integer>  How many. (default 100)
      --rate <number>         Points a second.
  -d, --duration <duration>   How long. (default 60s)
      --transport <http|udp>  How. (default http)
  -f, --file <path>           Where to. (standard output without it)
      --limit <integer>       dBm.
  -q, --quiet                 Says less.
  -h, --help                  Show this help.
      --version               Show the version.

Tuning:
      --buffer <size>  Bytes. (default 64KB)

Bye.`)
  t.end()
})

t.test('long help wraps with a hanging indent', t => {
  const lines = exit('--help', {
    ...SPEC,
    options: [{ name: 'x', type: 'boolean', help: 'word '.repeat(40).trim() }]
  }).text.split('\n')
  t.ok(lines.every(line => line.length <= 100))
  const first = lines.findIndex(line => line.includes('--x'))
  t.equal(lines[first + 1]?.search(/\S/), lines[first]?.indexOf('word'))
  t.end()
})

t.test('an invalid default is a bug', t => {
  t.throws(() =>
    parse('', { ...SPEC, options: [{ name: 'x', type: 'integer', max: 5, default: 6, help: '' }] }), TypeError)
  t.end()
})
