import t from 'tap'
import { HELP, parseArguments } from '../../benchmarks/arguments.js'
import { GROUPS, LEFT_OUT, planOf } from '../../benchmarks/plan.js'
import type { BenchArguments } from '../../benchmarks/arguments.js'

function options (...argv: string[]): BenchArguments {
  const parsed = parseArguments(argv)
  if (parsed.kind !== 'run') throw new Error(JSON.stringify(parsed))
  return parsed.options
}

t.test('without arguments: two runs of all but what takes long', t => {
  const plan = planOf(options())
  t.equal(plan.mode, 'default')
  t.equal(plan.runs, 2)
  t.strictSame(plan.groups, ['ceilings', 'http', 'udp', 'latency', 'queries'])
  t.end()
})

t.test('full measures growth too, five times', t => {
  const plan = planOf(options('--full'))
  t.equal(plan.runs, 5)
  t.ok(plan.groups.includes('growth'))
  t.end()
})

t.test('quick is one run, and runs and seconds can be given', t => {
  t.equal(planOf(options('--quick')).runs, 1)
  const plan = planOf(options('--quick', '--runs', '4', '--seconds', '0.5'))
  t.equal(plan.runs, 4)
  t.equal(plan.seconds, 0.5)
  t.equal(plan.latencySeconds, 0.5)
  t.end()
})

t.test('groups, switches, another program and its arguments', t => {
  const given = options('--only', 'http, udp', '--check', '--update-baseline', '--update-docs', '--program', '/x', '--data-dir', '/y', '--', '--workers', '1')
  t.same(given.only, ['http', 'udp'])
  t.ok(given.check && given.updateBaseline && given.updateDocs)
  t.equal(given.program, '/x')
  t.equal(given.dataDir, '/y')
  t.match(options('--data-dir', 'here').dataDir, /^\/.*here$/, 'the server runs in another directory')
  t.same(given.programArguments, ['--workers', '1'])
  t.end()
})

t.test('what is not understood is said', t => {
  const cases: Array<[string[], RegExp]> = [
    [['--fast'], /--fast is not known/],
    [['stray'], /stray is not known/],
    [['--quick', '--full'], /exclude/],
    [['--runs', '0'], /--runs/],
    [['--runs', '1.5'], /--runs/],
    [['--runs='], /--runs/],
    [['--seconds', 'x'], /--seconds/],
    [['--data-dir='], /--data-dir/],
    [['--program='], /--program/],
    [['--only', 'http,tcp'], /tcp is not a group/]
  ]
  for (const [argv, message] of cases) {
    const parsed = parseArguments(argv)
    t.equal(parsed.kind, 'error', argv.join(' '))
    if (parsed.kind === 'error') t.match(parsed.message, message)
  }
  t.equal(parseArguments(['--help']).kind, 'help')
  t.end()
})

t.test('the help names every group, and those that a mode leaves out', t => {
  for (const group of GROUPS) t.ok(HELP.includes(group), group)
  t.match(HELP, new RegExp(`without it: all but ${LEFT_OUT.default.join(', ')}`))
  t.same(GROUPS.filter((group) => !planOf(options()).groups.includes(group)), LEFT_OUT.default)
  t.end()
})
