import t from 'tap'
import { parseCompare } from '../../../benchmarks/compare/arguments.js'

t.test('a URL is enough', t => {
  t.match(parseCompare(['http://h:1/w?x=1']), {
    kind: 'run',
    alone: false,
    options: { format: 'json', batch: 1000, seconds: 5, runs: 3, headers: {} }
  })
  t.end()
})

t.test('all options', t => {
  const parsed = parseCompare([
    'http://h/w', '--format', 'line', '--batch', '10', '--seconds', '0.5', '--runs', '1', '--satellites', '5',
    '--connections', '2', '--alone', '--header', 'Authorization: Token a:b', '--header', 'X-A: 1', '--other',
    'http://i:2/v'
  ])
  if (parsed.kind === 'run') t.same(parsed.options.urls.map(String), ['http://h/w', 'http://i:2/v'])
  t.match(parsed, {
    kind: 'run',
    alone: true,
    options: { format: 'line', batch: 10, seconds: 0.5, headers: { Authorization: 'Token a:b', 'X-A': '1' } }
  })
  t.end()
})

t.test('invalid arguments', t => {
  const cases: Array<[string[], RegExp]> = [
    [[], /missing URL/],
    [['http://a', 'http://b'], /unexpected argument/],
    [['ftp://a'], /not an http URL/],
    [['nonsense'], /not an http URL/],
    [['http://a', '--other', 'b'], /http:\/\/a or b is not an http URL/],
    [['http://a', '--formt', 'x'], /unknown option --formt; did you mean --format/],
    [['http://a', '--format', 'xml'], /--format/],
    [['http://a', '--batch', '0'], /--batch/],
    [['http://a', '--runs', '1.5'], /--runs/],
    [['http://a', '--batch', '100000'], /must not exceed 190000/],
    [['http://a', '--header', 'nothing'], /--header/],
    [['http://a?precision=ms', '--format', 'line'], /nanoseconds/]
  ]
  for (const [argv, text] of cases) t.match(parseCompare(argv), { kind: 'exit', exitCode: 2, text }, argv.join(' '))
  t.match(parseCompare(['--help']), { kind: 'exit', exitCode: 0 })
  t.end()
})
