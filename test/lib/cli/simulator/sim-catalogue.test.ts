import t from 'tap'
import { catalogueJson } from '../../../../lib/catalogue/catalogue-json.js'
import { FILE_BYTES_MAX } from '../../../../lib/catalogue/catalogue-file.js'
import { isSameCatalogue } from '../../../../lib/catalogue/evolution.js'
import { fetchCatalogue } from '../../../../lib/cli/simulator/sim-catalogue.js'
import { BUILT_IN } from '../../../support/points/built-in.js'
import { startServer } from '../../sim/send/http-server.js'

t.test('a catalogue may be larger on the server than in its file', async (t) => {
  const json = JSON.stringify(catalogueJson(BUILT_IN))
  const { url } = await startServer(t, (_, response) => { response.end(json + ' '.repeat(FILE_BYTES_MAX)) })
  const catalogue = await fetchCatalogue(url, null)
  t.ok(typeof catalogue !== 'string' && isSameCatalogue(catalogue, BUILT_IN))
})
