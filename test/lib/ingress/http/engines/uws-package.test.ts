/** The project's own release of uWebSockets.js takes precedence over the bundled one, wherever the user installs it. */
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import t from 'tap'
import { findUwsPackage } from '../../../../../lib/ingress/http/engines/uws/uws-package.js'
import { temporaryDirectory } from '../../../../support/database/postgres.js'

t.test('finds the package to load', async (t) => {
  const root = await temporaryDirectory(t)
  const app = join(root, 'node_modules', 'orbitstream')
  const from = pathToFileURL(join(app, 'dist', 'lib', 'module.js'))
  const install = async (where: string, name: string, version: string): Promise<void> => {
    const folder = join(where, 'node_modules', 'uWebSockets.js')
    await mkdir(folder, { recursive: true })
    await writeFile(join(folder, 'package.json'), JSON.stringify({ name, version }))
  }
  t.equal(findUwsPackage(from), null, 'none')
  await install(app, 'uws-pack', '20.0.8')
  t.match(findUwsPackage(from), { name: 'uws-pack', version: '20.0.8' }, 'the bundled one')
  await install(root, 'uWebSockets.js', '20.70.0')
  const folder = pathToFileURL(`${root}/`)
  t.match(findUwsPackage(from), { name: 'uWebSockets.js', folder }, 'installed next to this program')
  await install(app, 'uWebSockets.js', '20.71.0')
  t.match(findUwsPackage(from), { version: '20.71.0' }, 'installed in place of it')
})
