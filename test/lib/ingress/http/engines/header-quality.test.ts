/** What Accept and Accept-Encoding say. */
import t from 'tap'
import { acceptsMsgpack } from '../../../../../lib/ingress/http/api/msgpack-answers.js'
import { qualityOf } from '../../../../../lib/ingress/http/engines/header-quality.js'
import { acceptsGzip, chooseFormat } from '../../../../../lib/ingress/http/query/answer-format.js'

const OFFERED = ['json', 'csv', 'ndjson'] as const

t.test('the best quality of what is named', (t) => {
  t.equal(qualityOf('', ['gzip']), 0)
  t.equal(qualityOf('br, GZIP ; q=0.5 , gzip;q=0.25', ['gzip']), 0.5)
  t.equal(qualityOf('text/html;level=1;q=0.7', ['text/html']), 0.7)
  t.equal(qualityOf('gzip;q=much', ['gzip']), 0)
  t.equal(acceptsGzip('gzip;q=0.000, identity'), false)
  t.equal(acceptsGzip('deflate, gzip'), true)
  t.equal(chooseFormat('text/csv;q=0.5, application/jsonl', OFFERED, 'json'), 'ndjson')
  t.equal(chooseFormat('text/csv, application/x-ndjson', OFFERED, 'json'), 'csv', 'of several, the first')
  t.equal(chooseFormat('*/*, image/png', OFFERED, 'json'), 'json')
  t.equal(acceptsMsgpack('application/json;q=0.9, application/msgpack'), true)
  t.end()
})

t.test('of a header with thousands of entries the first ones count', (t) => {
  const long = `application/msgpack, text/csv, gzip${','.repeat(8_000)}`
  t.ok(acceptsMsgpack(long))
  t.equal(chooseFormat(long, OFFERED, 'json'), 'csv')
  t.ok(acceptsGzip(long))
  const late = `${'x,'.repeat(64)}application/msgpack, text/csv, gzip`
  t.notOk(acceptsMsgpack(late))
  t.equal(chooseFormat(late, OFFERED, 'json'), 'json')
  t.notOk(acceptsGzip(late))
  t.equal(qualityOf(`gzip${';'.repeat(9)}q=0.5`, ['gzip']), 1)
  t.end()
})
