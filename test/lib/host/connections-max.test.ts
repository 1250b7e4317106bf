import { readFileSync } from 'node:fs'
import t from 'tap'
import { connectionsWithin, findConnectionsMax, parseFilesMax } from '../../../lib/host/connections-max.js'

t.test('reads the soft limit', (t) => {
  const text = [
    'Limit                     Soft Limit           Hard Limit           Units     ',
    'Max processes             96201                96201                processes ',
    'Max open files            1024                 1048576              files     '
  ].join('\n')
  t.equal(parseFilesMax(text), 1024)
  t.equal(parseFilesMax(text.replace('1024     ', 'unlimited')), null)
  t.equal(parseFilesMax(''), null)
  t.end()
})

t.test('leaves room for other files, and splits a low limit', (t) => {
  t.same([64, 200, 256, 1024, 1_048_576, null].map(connectionsWithin), [32, 100, 128, 896, 16_384, 16_384])
  t.end()
})

t.test('for this process', { skip: process.platform !== 'linux' }, async (t) => {
  t.equal(await findConnectionsMax(), connectionsWithin(parseFilesMax(readFileSync('/proc/self/limits', 'latin1'))))
})
