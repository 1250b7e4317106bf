import t from 'tap'
import { PointColumns } from '../../../protocol/columns.js'
import { TELEMETRY } from '../../support/points/built-in.js'
import { FAULT_DETAILS_MAX, type DecodeFault } from '../../../protocol/faults.js'
import { decodeJsonBatch, decodeJsonPoint, decodeNdjson } from '../../../protocol/json/json.js'
import type { DecodeRules } from '../../../protocol/point.js'
import { SatelliteTable } from '../../../protocol/satellites.js'

const NOW_MICROS = Date.UTC(2026, 10, 23, 12) * 1000
const RULES: DecodeRules = { timeWindowPastMs: 30 * 86_400_000, timeWindowFutureMs: 300_000, unknownFields: 'reject' }
const A = '{"satellite_id":"A","time":"2026-11-23T12:00:00.5Z",' +
  '"battery_charge_percent":73.21,"storage_usage_mb":null,"signal_strength_dbm":-67.3}'
const B = '{"satellite_id":"B","storage_usage_mb":2}'

const columns = new PointColumns(TELEMETRY, 2)
const satellites = new SatelliteTable()
type Decode = typeof decodeJsonPoint
const run = (decode: Decode, body: string | Buffer, rules = RULES): DecodeFault | null =>
  decode(Buffer.from(body), NOW_MICROS, rules, satellites, columns)

const ids = (): string[] => columns.satellites.slice(0, columns.count).map(satellite => satellite.id)

t.afterEach(() => columns.clear())

t.test('one point', t => {
  t.equal(run(decodeJsonPoint, ` \r\n\t${A} \n`), null)
  t.strictSame(ids(), ['A'])
  t.equal(columns.timesMicros[0], NOW_MICROS + 500_000)
  t.strictSame([...columns.values.subarray(0, 3)], [73.21, NaN, -67.3])
  t.equal(run(decodeJsonPoint, B), null)
  t.equal(columns.timesMicros[0], NOW_MICROS)
  t.match(run(decodeJsonPoint, `[${A},${B}]`), { code: 'invalid_point', message: /\/telemetry\/batch/, points: 2 })
  t.equal(columns.count, 0)
  for (const body of ['1', 'null', '"A"', '{}']) {
    t.match(run(decodeJsonPoint, body), { code: 'invalid_point', points: 1 }, body)
  }
  t.end()
})

t.test('a batch', t => {
  t.equal(run(decodeJsonBatch, `[${A},${B},${A}]`), null)
  t.strictSame(ids(), ['A', 'B', 'A'])
  t.equal(run(decodeJsonBatch, ` [ ${A} , ${B} ] `), null)
  t.strictSame(ids(), ['A', 'B'])
  for (const empty of ['[]', ' [ \n ] ']) {
    t.equal(run(decodeJsonBatch, empty), null)
    t.equal(columns.count, 0)
  }
  t.match(run(decodeJsonBatch, A), { code: 'invalid_point', message: /\/telemetry\./, points: 1 })
  t.match(run(decodeJsonBatch, `[${A},{"satellite_id":"A","storage_usage_mb":"1"},3]`), {
    code: 'invalid_point', points: 3, details: [{ index: 1, field: 'storage_usage_mb' }, { index: 2 }]
  })
  t.equal(columns.count, 0, 'a batch is accepted as a whole or not at all')
  const many = run(decodeJsonBatch, `[${new Array(500).fill('{}').join()}]`)
  t.equal(many?.points, 500)
  t.equal(many?.details?.length, FAULT_DETAILS_MAX)
  t.end()
})

t.test('NDJSON', t => {
  const bodies = [
    `${A}\n${B}`, `${A}\n${B}\n`, `\n\r\n ${A} \r\n\t\n${B}\r\n\n`, `${A.replace('"A"', '"\\u0041"')}\n \n${B}`
  ]
  for (const body of bodies) {
    t.equal(run(decodeNdjson, body), null, JSON.stringify(body))
    t.strictSame(ids(), ['A', 'B'])
  }
  for (const body of ['', '\n', ' \r\n\n']) {
    t.equal(run(decodeNdjson, body), null)
    t.equal(columns.count, 0)
  }
  t.match(run(decodeNdjson, `${A}\n\n{x}\n${B}\n{"satellite_id":1}`), {
    code: 'invalid_json',
    points: 4,
    details: [{ index: 1, message: /^\(line 3\) is not valid JSON/ }, { index: 3, field: 'satellite_id' }, { index: 3 }]
  })
  t.match(run(decodeNdjson, `${A}\n[]`), { code: 'invalid_point', points: 2, details: [{ index: 1 }] })
  t.match(run(decodeNdjson, `${A} ${B}`), { code: 'invalid_json', points: 1 }, 'two points on a line')
  t.match(run(decodeNdjson, A.replace(',', ',\n')), { code: 'invalid_json', points: 2 }, 'a point on two lines')
  const notUtf8 = Buffer.concat([Buffer.from(`${A}\n`), Buffer.from([0x22, 0xff, 0x22])])
  t.match(run(decodeNdjson, notUtf8), { code: 'invalid_json', details: [{ index: 1, message: /UTF-8/ }] })
  t.equal(run(decodeNdjson, '{}\n'.repeat(400))?.points, 400)
  t.end()
})

t.test('texts refused without parsing', t => {
  for (const decode of [decodeJsonPoint, decodeJsonBatch]) {
    t.match(run(decode, ''), { code: 'invalid_json', message: 'The body is empty.' })
    t.match(run(decode, '\ufeff[]'), { code: 'invalid_json', message: /byte order mark/ })
    t.match(run(decode, Buffer.from([0x22, 0xc3, 0x22])), { code: 'invalid_json', message: /UTF-8/ })
    t.match(run(decode, Buffer.from('[]', 'utf16le')), { code: 'invalid_json' })
    t.match(run(decode, '['.repeat(17)), { code: 'invalid_json', message: /more than 16 levels/ })
  }
  t.equal(run(decodeJsonPoint, '')?.points, 1)
  t.equal(run(decodeJsonBatch, '[1')?.points, 0)
  t.end()
})

t.test('nesting: deep levels never reach JSON.parse; brackets in strings and siblings do not count', t => {
  t.match(run(decodeJsonBatch, '['.repeat(2_000_000)), { code: 'invalid_json', message: /levels/ })
  const ignore: DecodeRules = { ...RULES, unknownFields: 'ignore' }
  const nested = (levels: number): string => `{"note":${'['.repeat(levels)}${']'.repeat(levels)},${B.slice(1)}`
  t.equal(run(decodeJsonPoint, nested(15), ignore), null)
  t.match(run(decodeJsonPoint, nested(16), ignore), { message: /levels/ })
  const brackets = `"a":"${'[{'.repeat(20)}\\"${'['.repeat(20)}"`
  t.equal(run(decodeJsonPoint, `{${brackets},"b":[${'[],'.repeat(40)}{}],${B.slice(1)}`, ignore), null)
  t.end()
})

t.test('the rules of the table in json.ts', t => {
  const accepted: Array<[string, string]> = [
    ['{"satellite_id":"A","satellite_id":"B","storage_usage_mb":1,"storage_usage_mb":2}', 'B'],
    ['{"satellite_id":5,"satellite_id":"B","storage_usage_mb":"x","storage_usage_mb":2}', 'B'],
    ['{"satellite_id":"\\u0042","storage_usage_mb":2}', 'B'],
    ['{"satellite_id":"B","storage_usage_mb":2e0,"time":null,"timestamp":null}', 'B'],
    ['{"satellite_id":"\\ud83d\\udef0","storage_usage_mb":2.0}', '🛰'],
    ['{"satellite_id":"🛰","storage_usage_mb":0.2E+1}', '🛰']
  ]
  for (const [body, id] of accepted) {
    t.equal(run(decodeJsonPoint, body), null, body)
    t.strictSame(ids(), [id])
    t.equal(columns.values[1], 2)
  }
  const base = '{"satellite_id":"A","storage_usage_mb":'
  const refused = [
    `${base}1e999}`,
    `${base}-1e999}`,
    `${base}"1"}`,
    `${base}1,"__proto__":null}`,
    `${base}1,"__proto__":{"time":1}}`,
    `${base}1,"time":1,"timestamp":1}`,
    `${base}1,"time":"2026-11-23T12:00:00"}`,
    `${base}1,"time":"2020-01-01T00:00:00Z"}`,
    `${base}null}`,
    `${base}1,"storage_usage_mb":null}`,
    '{"satellite_id":"a\\u0000b","storage_usage_mb":1}',
    '{"satellite_id":"\\ud800","storage_usage_mb":1}',
    '{"satellite_id":" A","storage_usage_mb":1}',
    '{"satellite_id":"a\u007f","storage_usage_mb":1}',
    '{"storage_usage_mb":1}',
    '{"satellite_id":"A"}',
    '{"satellite_id":null,"storage_usage_mb":1}'
  ]
  for (const body of refused) t.match(run(decodeJsonPoint, body), { code: 'invalid_point', points: 1 }, body)
  const notJson = [
    `${base}01}`, `${base}.5}`, `${base}1.}`, `${base}+1}`, `${base}1e}`, `${base}1e+}`, `${base}-}`, `${base}NaN}`,
    `${base}Infinity}`, `${base}nul}`, `${base}0x10}`, `${base}1,}`, `${base}1}}`, `${base}1`, `${base}1 /* */}`,
    "{'satellite_id':'A'}", '{"satellite_id":"A\n","storage_usage_mb":1}', '{"satellite_id":"A', '{"satellite_id"',
    '{"satellite_id":', '{"satellite_id" "A"}', '{', `${base}1}\u0000`
  ]
  for (const body of notJson) t.match(run(decodeJsonPoint, body), { code: 'invalid_json', points: 1 }, body)
  t.end()
})

t.test('the body is not retained', t => {
  const body = Buffer.from(A.replace('"A"', '"KEPT"'))
  t.equal(decodeJsonPoint(body, NOW_MICROS, RULES, satellites, columns), null)
  body.fill(0)
  t.strictSame(ids(), ['KEPT'])
  t.equal(columns.satellites[0]?.id, 'KEPT')
  t.end()
})

t.test('a large body, and then a truncated one of the same bytes', t => {
  const points = Array.from({ length: 3_000 }, (_, index) => (
    `{"satellite_id":"S${index}","storage_usage_mb":${index}.5}`
  ))
  const body = `[${points.join()}]`
  t.equal(run(decodeJsonBatch, body), null)
  t.equal(columns.count, 3_000)
  t.equal(columns.satellites[2_999]?.id, 'S2999')
  t.equal(columns.values[2_999 * 3 + 1], 2_999.5)
  for (let length = 1; length < 200; length++) {
    t.match(run(decodeJsonBatch, body.slice(0, length)), { code: 'invalid_json', points: 0 })
  }
  t.end()
})
