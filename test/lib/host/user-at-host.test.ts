import t from 'tap'
import { syncBuiltinESMExports } from 'node:module'
import os from 'node:os'
import { userAtHost } from '../../../lib/host/user-at-host.js'

t.test('a user has a name, or in a container perhaps a number only', (t) => {
  t.equal(userAtHost(), `${os.userInfo().username}@${os.hostname()}`)
  const { userInfo } = os
  t.teardown(() => {
    os.userInfo = userInfo
    syncBuiltinESMExports()
  })
  os.userInfo = () => { throw new Error('uv_os_get_passwd returned ENOENT') }
  syncBuiltinESMExports()
  t.equal(userAtHost(), `${String(process.getuid?.())}@${os.hostname()}`)
  t.end()
})
