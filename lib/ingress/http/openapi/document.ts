/** GET /openapi.json: the HTTP interface as OpenAPI 3.1, built from the catalogue in force and the error table. */
import type { Catalogue } from '../../../../protocol/catalogue.js'
import { version } from '../../../support/version.js'
import type { Headers } from '../engines/engine.js'
import type { RouteTable } from '../api/router.js'
import { operationObject } from './operations.js'
import { OPERATIONS } from './paths.js'
import { createSchemas, type Schema } from './schemas.js'

const DESCRIPTION = `Telemetry of satellite fleets: points in, and answers about them.

- Every GET also answers HEAD; OPTIONS lists the methods of a path.
- Errors have one form, with a code that does not change. Those that may pass have \`Retry-After\`.
- With \`Accept: application/msgpack\`, JSON answers are in msgpack instead.
- Where the server has tokens, requests need one, whose role the operation names; elsewhere none is needed.
- Ids in a path are percent-encoded: \`%2F\` is a slash within an id.`

export function createOpenApiRoute (catalogue: Catalogue): RouteTable {
  const body = JSON.stringify(openApiDocument(catalogue)) + '\n'
  const headers: Headers = [['content-type', 'application/json']]
  return { '/openapi.json': { name: 'openapi', methods: { GET: (call) => call.reply(200, headers, body) } } }
}

function openApiDocument (catalogue: Catalogue): Schema {
  return {
    openapi: '3.1.0',
    info: {
      title: 'OrbitStream',
      version: version(),
      description: DESCRIPTION,
      license: { name: 'MIT', identifier: 'MIT' }
    },
    servers: [{ url: '/' }],
    paths: Object.fromEntries(Object.entries(OPERATIONS).map(([path, methods]) => [
      path,
      Object.fromEntries(Object.entries(methods).map(([method, operation]) => (
        [method.toLowerCase(), operationObject(operation)]
      )))
    ])),
    components: {
      schemas: createSchemas(catalogue),
      securitySchemes: { bearer: { type: 'http', scheme: 'bearer', description: 'A token of the server.' } }
    }
  }
}
