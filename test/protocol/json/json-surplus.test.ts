/** The reduced text of a point has the same known fields as the whole text, and is accepted only if that is valid. */
import t from 'tap'
import fc from 'fast-check'
import { cutPoint, endOfCut } from '../../../protocol/json/json-surplus.js'
import { TELEMETRY } from '../../support/points/built-in.js'

const BOUNDS = { partsMax: 100, bytesMax: 10_000, levelsMax: 8 }

/** Any valid text, with white space and escapes in odd places. */
const anyText = fc.tuple(fc.json({ maxDepth: 4 }), fc.constantFrom(undefined, 1, '\t'))
  .map(([text, gap]) => JSON.stringify(JSON.parse(text), null, gap))
const oddText = fc.constantFrom(
  '1.', '.5', '01', '-', '1e', '1e+', '-0', '1E9', 'tru', 'nulll', '"\\x"', '"\\u12g4"', '"\\u00e9\\n"', '"\u0001"',
  '[1,]', '{,}', '{"a"}', '[1 2]', ''
)
const nameText = fc.oneof(
  fc.constantFrom(...TELEMETRY.fields).map((name) => JSON.stringify(name)),
  fc.constantFrom(...TELEMETRY.fields).map((name) => `"\\u00${name.charCodeAt(0).toString(16)}${name.slice(1)}"`),
  fc.string({ unit: 'binary' }).map((name) => JSON.stringify(name)),
  fc.constantFrom('"__proto__"', '"Time"', '"tim\\u0065"', '"\\time"', '"\\u0174ime"', '""')
)
const valueText = fc.oneof({ weight: 20, arbitrary: anyText }, { weight: 1, arbitrary: oddText })
const member = fc.tuple(nameText, fc.constantFrom(':', ' : '), valueText).map((parts) => parts.join(''))
const endText = fc.constantFrom('', '', '', ',', '}', ' x')
const text = fc.tuple(fc.array(member, { maxLength: 8 }), fc.constantFrom(',', ' ,\n'), endText)
  .map(([members, comma, end]) => `{${members.join(comma)}}${end}`)

const knownOf = (value: Record<string, unknown>): string => (
  JSON.stringify(TELEMETRY.fields.map((name) => Object.hasOwn(value, name) ? value[name] : 'absent'))
)

t.test('property: the known fields are those of JSON.parse', (t) => {
  let cut = 0
  fc.assert(fc.property(text, fc.boolean(), (text, ignoresUnknown) => {
    const bytes = Buffer.from(`  ${text}`)
    const given = cutPoint(bytes, 2, BOUNDS, ignoresUnknown, TELEMETRY)
    if (given === null) return
    const whole = JSON.parse(bytes.toString('utf8', 2, endOfCut())) as Record<string, unknown>
    const parsed = JSON.parse(given) as Record<string, unknown>
    if (knownOf(parsed) !== knownOf(whole)) throw new Error(`${given} of ${text}`)
    const unknown = Object.keys(whole).filter((name) => !TELEMETRY.fields.includes(name))
    const kept = Object.keys(parsed).filter((name) => !TELEMETRY.fields.includes(name))
    if (kept.length !== (ignoresUnknown ? 0 : unknown.length)) throw new Error(`unknown fields: ${given} of ${text}`)
    cut++
  }), { numRuns: 10_000 })
  t.ok(cut > 1_000, 'many texts are read to their end')
  t.end()
})

t.test('gives up beyond the limits', (t) => {
  const point = (fields: string): string | null => (
    cutPoint(Buffer.from(`{${fields}"satellite_id":"A"}`), 0, BOUNDS, true, TELEMETRY)
  )
  t.equal(point(`"x":${'['.repeat(7)}1${']'.repeat(7)},`), '{"satellite_id":"A"}')
  t.equal(point(`"x":${'['.repeat(8)}1${']'.repeat(8)},`), null)
  t.equal(point('"x":1,'.repeat(99)), '{"satellite_id":"A"}')
  t.equal(point('"x":1,'.repeat(100)), null)
  t.equal(point(`"x":[${'1,'.repeat(97)}1],`), '{"satellite_id":"A"}')
  t.equal(point(`"x":[${'1,'.repeat(99)}1],`), null)
  t.equal(point(`"x":"${'y'.repeat(10_000)}",`), null)
  t.end()
})
