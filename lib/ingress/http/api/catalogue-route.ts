/** GET /catalogue: the catalogue in force, in the form of the catalogue file. */
import type { Catalogue } from '../../../../protocol/catalogue.js'
import { catalogueJson } from '../../../catalogue/catalogue-json.js'
import type { Headers } from '../engines/engine.js'
import type { RouteTable } from './router.js'
import type { TokenCheck } from './tokens.js'

export function createCatalogueRoute (catalogue: Catalogue, tokens: TokenCheck): RouteTable {
  const body = JSON.stringify(catalogueJson(catalogue)) + '\n'
  const headers: Headers = [['content-type', 'application/json']]
  return {
    '/catalogue': {
      name: 'catalogue',
      // Senders need it as well as readers, so the route itself asks for either role.
      open: true,
      methods: {
        GET: (call) => {
          const denial = tokens.check(call.request, 'read')
          if (typeof denial === 'string' && typeof tokens.check(call.request, 'ingest') === 'string') call.fail(denial)
          else call.reply(200, headers, body)
        }
      }
    }
  }
}
