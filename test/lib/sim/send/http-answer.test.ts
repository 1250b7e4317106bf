import t from 'tap'
import * as fc from 'fast-check'
import assert from 'node:assert/strict'
import { AnswerReader, readAnswer } from '../../../../lib/sim/send/http-answer.js'

const texts = fc.string({ unit: fc.constantFrom('a', '}', '\r', '\n', ':', '0', 'é', '😀'), maxLength: 30 })

/** In chunks of at most `size` bytes. */
function chunked (body: Buffer, size: number): string {
  let text = ''
  for (let at = 0; at < body.length; at += size) {
    const chunk = body.subarray(at, at + size)
    text += `${chunk.length.toString(16)};of=${at}\r\n${chunk.toString('latin1')}\r\n`
  }
  return `${text}0\r\n\r\n`
}

t.test('a response is complete at its last byte, however it is framed, and no earlier', (t) => {
  fc.assert(fc.property(texts, fc.integer({ min: 200, max: 599 }), fc.boolean(), fc.boolean(), fc.integer({
    min: 0,
    max: 7
  }), fc.boolean(), (text, status, retryAfter, close, chunkBytes, interim) => {
    const body = Buffer.from(text)
    const isEmpty = status === 204 || status === 304
    const framed = chunkBytes === 0 ? body.toString('latin1') : chunked(body, chunkBytes)
    const head = [`HTTP/1.1 ${status} Whatever`, chunkBytes === 0
      ? `Content-LENGTH:${body.length} `
      : 'transfer-encoding: chunked']
    if (retryAfter) head.push('retry-after: 1')
    if (close) head.push('Connection: Close')
    const bytes = Buffer.from(
      `${interim ? 'HTTP/1.1 100 Continue\r\n\r\n' : ''}${head.join('\r\n')}\r\n\r\n${isEmpty ? '' : framed}`,
      'latin1'
    )
    for (let length = 0; length < bytes.length; length++) {
      assert.equal(readAnswer(bytes.subarray(0, length)), 'incomplete', `at ${length}`)
    }
    assert.deepEqual(readAnswer(bytes), { status, retryAfter, close, body: isEmpty ? '' : text })
  }))
  t.end()
})

t.test('invalid or oversized responses are broken; nothing throws', (t) => {
  t.equal(readAnswer(Buffer.from('SSH-2.0\r\n\r\n')), 'broken')
  t.equal(readAnswer(Buffer.alloc(65_537, 'x')), 'broken')
  t.equal(
    readAnswer(Buffer.from(`HTTP/1.1 200 OK\r\ncontent-length: 100000000\r\n\r\n${'x'.repeat(65_536)}`)),
    'broken'
  )
  fc.assert(fc.property(fc.string({
    unit: fc.constantFrom(
      'HTTP/1.1 ',
      '200',
      '\r\n',
      '\r\n\r\n',
      'content-length:',
      'transfer-encoding: chunked',
      'ffffffffffffffff',
      '-1',
      'x',
      '0'
    ),
    maxLength: 20
  }), (text) => {
    readAnswer(Buffer.from(text))
  }))
  t.end()
})

t.test('a reader of many responses parses each like the first', (t) => {
  const reader = new AnswerReader()
  const response = (status: number, body: string, framing = `content-length: ${body.length}`): Buffer =>
    Buffer.from(`HTTP/1.1 ${status} Whatever\r\n${framing}\r\n\r\n${body}`)
  const interim = Buffer.from('HTTP/1.1 103 Early Hints\r\ncontent-length: 0\r\n\r\n')
  const responses = [
    response(202, 'abc'), response(202, 'abd'), response(202, 'abcd'), response(503, 'abc'), response(202, 'abc'),
    response(200, '3\r\nabc\r\n0\r\n\r\n', 'transfer-encoding: chunked'),
    Buffer.concat([interim, response(200, 'abc')]),
    response(202, '', 'content-length: 0\r\nconnection: close'), response(202, '')
  ]
  fc.assert(fc.property(fc.array(fc.tuple(fc.constantFrom(...responses), fc.double({ min: 0, max: 2 }))), (read) => {
    for (const [bytes, share] of read) {
      const part = bytes.subarray(0, Math.ceil(bytes.length * share))
      const [expected, actual] = [readAnswer(part), reader.read(part)]
      if (typeof expected === 'string' || expected.status >= 300) assert.deepEqual(actual, expected)
      else assert.deepEqual({ ...actual as object, body: '' }, { ...expected, body: '' })
    }
  }))
  t.end()
})
