import t from 'tap'
import { parseCompare } from '../../../benchmarks/compare/arguments.js'

t.test('a URL is enough', t => {
  t.match(parseCompare(['http://h:1/w?x=1']), { kind: 'run', alone: false, options: { format: 'json', batch: 1000, seconds: 5, runs: 3, headers: {} } })
  t.end()
})

t.test('everything can be given', t => {
  const parsed = parseCompare(['http://h/w', '--format', 'line', '--batch', '10', '--seconds', '0.5', '--runs', '1', '--satellites', '5', '--connections', '2', '--alone',
    '--header', 'Authorization: Token a:b', '--header', 'X-A: 1', '--other', 'http://i:2/v'])
  if (parsed.kind === 'run') t.same(parsed.options.urls.map(String), ['http://h/w', 'http://i:2/v'])
  t.match(parsed, { kind: 'run', alone: true, options: { format: 'line', batch: 10, seconds: 0.5, headers: { Authorization: 'Token a:b', 'X-A': '1' } } })
  t.end()
})

t.test('what is wrong is said', t => {
  const cases: Array<[string[], RegExp]> = [
    [[], /exactly one URL/],
    [['http://a', 'http://b'], /exactly one URL/],
    [['ftp://a'], /not an http URL/],
    [['nonsense'], /not an http URL/],
    [['http://a', '--other', 'b'], /http:\/\/a or b is not an http URL/],
    [['http://a', '--formt', 'x'], /--formt is not known/],
    [['http://a', '--format', 'xml'], /--format/],
    [['http://a', '--batch', '0'], /--batch/],
    [['http://a', '--runs', '1.5'], /--runs/],
    [['http://a', '--batch', '100000'], /190000 at most/],
    [['http://a', '--header', 'nothing'], /--header/],
    [['http://a?precision=ms', '--format', 'line'], /nanoseconds/]
  ]
  for (const [argv, message] of cases) {
    const parsed = parseCompare(argv)
    t.equal(parsed.kind, 'error', argv.join(' '))
    if (parsed.kind === 'error') t.match(parsed.message, message)
  }
  t.equal(parseCompare(['--help']).kind, 'help')
  t.end()
})
