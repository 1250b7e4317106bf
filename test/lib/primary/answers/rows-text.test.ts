/** Answers as CSV and NDJSON. */
import t from 'tap'
import { rowsAnswer } from '../../../../lib/primary/answers/rows-text.js'

const ROWS = {
  columns: ['id', 'value', 'note'],
  rows: [['A', 1.5, 'plain'], ['B', null, 'says "x", twice\nor so'], ['C', NaN, true], ['', -0, '\r']]
} as const

t.test('CSV quotes what would break a line; what is not a number is empty', (t) => {
  t.match(rowsAnswer('csv', ROWS), {
    status: 200,
    contentType: 'text/csv; charset=utf-8',
    body: 'id,value,note\nA,1.5,plain\nB,,"says ""x"", twice\nor so"\nC,,true\n,0,"\r"\n'
  })
  t.equal(rowsAnswer('csv', { columns: ['a', 'b'], rows: [] }).body, 'a,b\n')
  t.end()
})

t.test('NDJSON has an object for each row', (t) => {
  const { body, contentType } = rowsAnswer('ndjson', ROWS)
  t.equal(contentType, 'application/x-ndjson')
  t.strictSame(body.trimEnd().split('\n').map((line) => JSON.parse(line) as unknown), [
    { id: 'A', value: 1.5, note: 'plain' },
    { id: 'B', value: null, note: 'says "x", twice\nor so' },
    { id: 'C', value: null, note: true },
    { id: '', value: 0, note: '\r' }
  ])
  t.equal(rowsAnswer('ndjson', { columns: ['a'], rows: [] }).body, '')
  t.end()
})
