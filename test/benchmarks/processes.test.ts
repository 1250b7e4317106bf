import t from 'tap'
import { fork } from 'node:child_process'
import { once } from 'node:events'
import {
  busyTicks, childrenOf, cpuBetween, parseStat, peakBytes, postgresRole, sampleCpu
} from '../../benchmarks/processes.js'

t.test('reads times and parent, whatever the process name contains', t => {
  const stat = parseStat('42 (a) b (c) S 7 42 42 0 -1 4194560 1 2 3 4 100 50 20 10 20 0 1 0 5 6 7')
  t.same(stat, { parent: 7, ownTicks: 150, childrenTicks: 30 })
  t.end()
})

t.test('idle and guest time are not work', t => {
  t.equal(busyTicks('1 2 4 1000 2000 8 16 32 5 5'), 63)
  t.end()
})

t.test('PostgreSQL sessions are distinguished from background processes', t => {
  t.equal(postgresRole('postgres: orbitstream orbitstream 127.0.0.1(41234) COPY'), 'database sessions')
  t.equal(postgresRole('postgres: checkpointer '), 'database background')
  t.end()
})

t.test('time between two samples: live processes, and reaped children', t => {
  const roles = new Map([[1, 'worker'], [2, 'worker'], [3, 'primary']])
  const stat = (ownTicks: number, childrenTicks: number) => ({ parent: 0, ownTicks, childrenTicks })
  const before = { roles, stats: new Map([[1, stat(100, 0)], [3, stat(10, 5)]]) }
  const after = { roles, stats: new Map([[1, stat(150, 0)], [2, stat(30, 0)], [3, stat(10, 105)]]) }
  t.same(cpuBetween(before, after), { worker: 0.8, primary: 1 })
  t.end()
})

t.test('finds its own child and measures it', { skip: process.platform !== 'linux' }, async t => {
  const child = fork(new URL('burner.js', import.meta.url), { execArgv: [] })
  t.teardown(() => child.kill('SIGKILL'))
  const pid = child.pid ?? 0
  t.ok(childrenOf(process.pid).includes(pid))
  const roles = new Map([[pid, 'child']])
  const before = sampleCpu(roles)
  await once(child, 'message')
  const used = cpuBetween(before, sampleCpu(roles))['child'] ?? 0
  t.ok(used >= 0.1, `${used} s`)
  t.ok((peakBytes(roles)['child'] ?? 0) > 10_000_000)
})
