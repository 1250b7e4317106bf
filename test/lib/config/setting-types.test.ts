/** Values as people write them: parsing, rejection, and that formatted values parse back. */
import t from 'tap'
import fc from 'fast-check'
import { resolve } from 'node:path'
import * as types from '../../../lib/config/setting-types.js'
import type { SettingType } from '../../../lib/config/setting-types.js'

const wholeNumbers = fc.oneof(
  fc.nat(),
  fc.maxSafeNat(),
  fc.tuple(
    fc.nat({ max: 5000 }),
    fc.constantFrom(1, 1000, 60_000, 3_600_000, 86_400_000, 1024, 1024 ** 2, 1024 ** 3, 1024 ** 4)
  ).map(([count, unit]) => count * unit)
).filter(Number.isSafeInteger)

function message (type: SettingType<unknown>, text: string): string {
  const parsed = type.parse(text)
  return parsed.ok ? `taken: ${JSON.stringify(parsed.value)}` : parsed.message
}

t.test('formatted durations and sizes parse back', t => {
  fc.assert(fc.property(wholeNumbers, ms => types.parseDuration(types.formatDuration(ms)) === ms))
  fc.assert(fc.property(wholeNumbers, bytes => types.parseSize(types.formatSize(bytes)) === bytes))
  t.pass('for all whole numbers')
  t.end()
})

t.test('parsing any text yields a non-negative integer or null', t => {
  const texts = fc.oneof(fc.string(), fc.stringMatching(/^\d{1,20}(\.\d{1,3})?\s?[a-zA-Z]{0,3}$/))
  fc.assert(fc.property(texts, text => [types.parseDuration(text), types.parseSize(text)].every(value =>
    value === null || (Number.isSafeInteger(value) && value >= 0))))
  t.pass('for all texts')
  t.end()
})

t.test('durations', t => {
  const read: Array<[string, number | null]> = [
    ['250ms', 250], ['1s', 1000], ['5m', 300_000], ['2h', 7_200_000], ['30d', 2_592_000_000], ['1000', 1000], ['0', 0],
    [
      '1.5h',
      5_400_000
    ], ['4.35s', 4350], [' 10 s ', 10_000], ['', null], ['s', null], ['-1s', null], ['1M', null], ['1 week', null],
    ['1e3', null], ['1s 5ms', null], ['99999999999d', null], ['NaN', null]
  ]
  for (const [text, ms] of read) t.equal(types.parseDuration(text), ms, JSON.stringify(text))
  t.equal(types.parseDuration('60', 's'), 60_000, 'a bare number has the requested unit')
  t.equal(types.parseDuration('60ms', 's'), 60)
  for (const [ms, text] of [
    [0, '0ms'], [1, '1ms'], [999, '999ms'], [1000, '1s'], [90_000, '90s'], [60_000, '1m'], [86_400_000, '1d'],
    [90_000_000, '25h']
  ] as const) {
    t.equal(types.formatDuration(ms), text)
  }
  t.end()
})

t.test('sizes', t => {
  const read: Array<[string, number | null]> = [
    ['64MB', 67_108_864], [
      '1GB',
      1_073_741_824
    ], ['1TB', 1_099_511_627_776], ['1KB', 1024], ['64mb', 67_108_864], ['64MiB', 67_108_864], ['64M', 67_108_864],
    ['512', 512], ['512B', 512], ['0.5KB', 512], [
      '1 GB',
      1_073_741_824
    ], ['', null], ['MB', null], ['1PB', null], ['1i', null], ['1s', null], ['99999999TB', null]
  ]
  for (const [text, bytes] of read) t.equal(types.parseSize(text), bytes, JSON.stringify(text))
  for (const [bytes, text] of [
    [0, '0B'], [1, '1B'], [1025, '1025B'], [1024, '1KB'], [67_108_864, '64MB'], [1.5 * 1024 ** 3, '1536MB']
  ] as const) {
    t.equal(types.formatSize(bytes), text)
  }
  t.end()
})

t.test('ranges are inclusive, and messages name them', t => {
  const type = types.integer({ min: 0, max: 10 })
  t.equal(message(type, '0'), 'taken: 0')
  t.equal(message(type, '10'), 'taken: 10')
  t.equal(message(type, '-1'), '-1 is out of range: from 0 to 10')
  t.equal(message(type, '11'), '11 is out of range: from 0 to 10')
  t.equal(message(type, '1.5'), '"1.5" is not a whole number (from 0 to 10)')
  t.equal(message(types.integer(), '12345678901234567890'), '"12345678901234567890" is not a whole number')
  t.equal(message(types.integer({ min: 3 }), '2'), '2 is out of range: 3 or more')
  t.equal(message(types.decimal({ max: 1 }), '1.5'), '1.5 is out of range: 1 or less')
  t.equal(message(types.decimal(), '0.25'), 'taken: 0.25')
  t.equal(message(types.decimal(), ' '), '" " is not a number')
  t.equal(message(types.decimal(), '1e999'), '"1e999" is not a number')
  t.equal(message(types.duration({ min: 1000 }), '30'), '30ms is out of range: 1s or more')
  t.equal(message(types.size({ max: 1024 }), '1MB'), '1MB is out of range: 1KB or less')
  t.end()
})

t.test('choices, texts, addresses, paths', t => {
  t.equal(message(types.oneOf(['debug', 'info']), 'info'), 'taken: "info"')
  t.equal(message(types.oneOf(['debug', 'info']), 'inf'), '"inf" is not one of debug, info; did you mean info?')
  t.equal(message(types.oneOf(['debug', 'info']), 'purple'), '"purple" is not one of debug, info')
  t.equal(message(types.string(), ''), 'must not be empty')
  for (const address of ['0.0.0.0', '::', '::1', 'localhost', 'a.example', 'db-1']) {
    t.equal(message(types.host(), address), `taken: "${address}"`)
  }
  for (const wrong of ['', '-a', 'a b', 'http://a', 'a:80']) {
    t.match(message(types.host(), wrong), /is not an IP address or host name/)
  }
  t.equal(message(types.path(), 'some/where'), `taken: ${JSON.stringify(resolve('some/where'))}`)
  t.equal(message(types.path(), ''), 'is not a path')
  t.end()
})

t.test('networks, and numbers that may be off', (t) => {
  const networks = types.networks()
  const listed = networks.parse('10.0.0.0/8, 192.0.2.1,2001:db8::/32,::1')
  t.same(listed, { ok: true, value: ['10.0.0.0/8', '192.0.2.1', '2001:db8::/32', '::1'] })
  for (const wrong of ['', '10.0.0.0/33', '10.0.0/8', 'proxy', '::1/129', '10.0.0.0/8/8', '10.0.0.0/', '1.2.3.4,']) {
    t.notOk(networks.parse(wrong).ok, wrong)
  }
  const rate = types.integerOrOff({ min: 1, max: 10 })
  t.same(['off', '7'].map((text) => rate.parse(text)), [{ ok: true, value: null }, { ok: true, value: 7 }])
  for (const wrong of ['0', '11', 'on', '']) t.notOk(rate.parse(wrong).ok, wrong)
  t.same([rate.format(null), rate.format(7)], ['off', '7'])
  t.end()
})

t.test('messages do not repeat URLs and lists', t => {
  const url = types.url(['postgres', 'postgresql'])
  t.equal(message(url, 'postgres://a:b@c/d'), 'taken: "postgres://a:b@c/d"')
  t.equal(message(url, 'mysql://u:secret@h/d'), 'must begin with postgres:// or postgresql://')
  t.equal(
    message(url, 'postgres://u:sec/ret@h:x/d'),
    'is not a valid URL; special characters in the password must be percent-encoded'
  )
  t.equal(message(types.secret(4), 'abcd'), 'taken: "abcd"')
  t.equal(message(types.secret(4), 'abc'), 'has 3 characters; at least 4 are required')
  t.equal(message(types.secret(4), 'abcdé'), 'contains non-ASCII or control characters')
  t.equal(types.secret(4).format('abcd'), 'abcd')
  t.equal(types.secret(4).format(null), '')
  t.equal(message(types.list(4), 'abcd, efgh'), 'taken: ["abcd","efgh"]')
  t.equal(message(types.list(4), 'abcd,ef'), 'entry 2 has 2 characters; at least 4 are required')
  t.equal(types.list(4).format(['abcd', 'efgh']), 'abcd,efgh')
  t.end()
})

t.test('the nearest word', t => {
  const known = ['start', 'migrate', 'config']
  t.equal(types.nearest('strat', known), 'start')
  t.equal(types.nearest('CONFIG', known), 'config')
  t.equal(types.nearest('something', known), null)
  t.equal(types.nearest('strat', known, 1), null, 'within the allowed edits')
  t.end()
})
