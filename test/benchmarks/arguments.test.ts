import t from 'tap'
import { parseArguments } from '../../benchmarks/arguments.js'
import { GROUPS, LEFT_OUT, planOf } from '../../benchmarks/plan.js'
import type { BenchArguments } from '../../benchmarks/arguments.js'

function options (...argv: string[]): BenchArguments {
  const parsed = parseArguments(argv)
  if (parsed.kind !== 'run') throw new Error(JSON.stringify(parsed))
  return parsed.options
}

t.test('without arguments: two runs of everything but slow groups', t => {
  const plan = planOf(options())
  t.equal(plan.mode, 'default')
  t.equal(plan.runs, 2)
  t.strictSame(plan.groups, ['ceilings', 'http', 'udp', 'latency', 'queries'])
  t.end()
})

t.test('full includes growth, with five runs', t => {
  const plan = planOf(options('--full'))
  t.equal(plan.runs, 5)
  t.ok(plan.groups.includes('growth'))
  t.end()
})

t.test('quick is one run; runs and seconds can be set', t => {
  t.equal(planOf(options('--quick')).runs, 1)
  const plan = planOf(options('--quick', '--runs', '4', '--seconds', '0.5'))
  t.equal(plan.runs, 4)
  t.equal(plan.seconds, 0.5)
  t.equal(plan.latencySeconds, 0.5)
  t.end()
})

t.test('groups, switches, another program and its arguments', t => {
  const given = options(
    '--only',
    'http, udp',
    '--check',
    '--update-baseline',
    '--update-docs',
    '--program',
    '/x',
    '--data-dir',
    '/y',
    '--',
    '--workers',
    '1'
  )
  t.same(given.only, ['http', 'udp'])
  t.ok(given.check && given.updateBaseline && given.updateDocs)
  t.equal(given.program, '/x')
  t.equal(given.dataDir, '/y')
  t.match(options('--data-dir', 'here').dataDir, /^\/.*here$/, 'the server runs in another directory')
  t.same(given.programArguments, ['--workers', '1'])
  t.end()
})

t.test('invalid arguments', t => {
  const cases: Array<[string[], RegExp]> = [
    [['--fast'], /unknown option --fast/],
    [['stray'], /unexpected argument "stray"/],
    [['--quick', '--full'], /exclusive/],
    [['--runs', '0'], /--runs: 0 is out of range/],
    [['--runs', '1.5'], /--runs/],
    [['--runs='], /--runs needs a value/],
    [['--seconds', 'x'], /--seconds/],
    [['--data-dir='], /--data-dir needs a value/],
    [['--program='], /--program needs a value/],
    [['--only', 'http,tcp'], /"tcp" is not a group/]
  ]
  for (const [argv, text] of cases) t.match(parseArguments(argv), { kind: 'exit', exitCode: 2, text }, argv.join(' '))
  t.end()
})

t.test('the help names every group, and those that a mode skips', t => {
  const help = parseArguments(['--help'])
  for (const group of GROUPS) t.match(help, { exitCode: 0, text: group })
  t.same(GROUPS.filter((group) => !planOf(options()).groups.includes(group)), LEFT_OUT.default)
  t.same([LEFT_OUT.quick, LEFT_OUT.full], [LEFT_OUT.default, []], 'as the help says')
  t.end()
})
