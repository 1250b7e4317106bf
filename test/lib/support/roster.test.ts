import t from 'tap'
import fc from 'fast-check'
import { NOT_LISTED, Roster, type Listed } from '../../../lib/support/roster.js'

t.test('property: equivalent to a Set', (t) => {
  fc.assert(fc.property(fc.array(fc.tuple(fc.boolean(), fc.nat(9))), (steps) => {
    const members: Listed[] = Array.from({ length: 10 }, () => ({ place: NOT_LISTED }))
    const [roster, set] = [new Roster<Listed>(), new Set<Listed>()]
    for (const [isAdded, index] of steps) {
      const member = members[index] as Listed
      if (isAdded) {
        roster.add(member)
        set.add(member)
      } else {
        roster.delete(member)
        set.delete(member)
      }
      const all = roster.all()
      if (roster.size !== set.size || all.length !== set.size || all.some((each) => !set.has(each))) return false
    }
    return members.every((each) => (each.place === NOT_LISTED) !== set.has(each))
  }))
  t.end()
})

t.test('members may leave during iteration', (t) => {
  const roster = new Roster<Listed>()
  const members: Listed[] = [1, 2, 3].map(() => ({ place: NOT_LISTED }))
  for (const each of members) roster.add(each)
  for (const each of roster.all()) roster.delete(each)
  t.equal(roster.size, 0)
  t.end()
})
