/** Routes for telemetry: the worker reads the request, the primary answers it; exports are the worker's own. */
import type { RouteCall } from '../api/reply.js'
import type { RouteHandler, RouteTable } from '../api/router.js'
import type { DataPort, DataQuestion } from '../api/status-port.js'
import { chooseFormat } from './answer-format.js'
import type { Read } from '../api/parameters.js'
import type { RequestReader } from './requests.js'

const FORMATS = ['json', 'csv', 'ndjson'] as const

/** What the path names does not exist. */
interface Missing {
  readonly missing: string
}

/** @param exporting answers GET /export */
export function createQueryRoutes (port: DataPort, reader: RequestReader, exporting: RouteHandler): RouteTable {
  const get = (questionOf: (call: RouteCall) => Read<DataQuestion> | Missing): RouteTable[string]['methods'] => ({
    GET: (call) => {
      const question = questionOf(call)
      if ('missing' in question) call.fail('not_found', { message: question.missing })
      else if (!question.ok) call.fail('invalid_query', question)
      else call.answerWith(port.ask(question.value))
    }
  })
  return {
    '/satellites': {
      name: 'satellites',
      methods: get(({ request }) => {
        const read = reader.satellites(request.query)
        return read.ok ? ok({ kind: 'satellites', request: read.value, format: formatOf(request) }) : read
      })
    },
    '/satellites/{id}': {
      name: 'satellites',
      methods: get(({ request, parameters: [id = ''] }) => {
        const read = reader.satellite(id, request.query)
        return read.ok ? ok({ kind: 'satellite', ...read.value, format: formatOf(request) }) : read
      })
    },
    '/satellites/{id}/{stream}': {
      name: 'satellites',
      methods: get(({ request, parameters: [id = '', stream = ''] }) => {
        const missing = reader.strangeStream(stream)
        if (missing !== null) return { missing }
        const read = reader.series(id, stream, request.query)
        return read.ok ? ok({ kind: 'series', request: read.value, format: formatOf(request) }) : read
      })
    },
    '/query/latest': {
      name: 'query',
      methods: get(({ request }) => {
        const read = reader.latest(request.query)
        return read.ok ? ok({ kind: 'latest', request: read.value }) : read
      })
    },
    '/query/minmax': {
      name: 'query',
      methods: get(({ request }) => {
        const read = reader.minmax(request.query)
        return read.ok ? ok({ kind: 'minmax', request: read.value }) : read
      })
    },
    '/export': { name: 'export', methods: { GET: exporting } }
  }
}

function ok (value: DataQuestion): Read<DataQuestion> {
  return { ok: true, value }
}

function formatOf (request: RouteCall['request']): typeof FORMATS[number] {
  return chooseFormat(request.header('accept'), FORMATS, 'json')
}
