/**
 * A set whose members know their position in it, for objects that come and go thousands of times a second.
 *
 * A Set reallocates its table every so often, and each old table points to its successor. Once the collector has
 * promoted one of them to the old generation, all later ones are kept alive, with everything they ever contained, until
 * the next full collection.
 */
export interface Listed {
  /** Position in the roster; NOT_LISTED: in none. Written only by the roster. */
  place: number
}

export const NOT_LISTED = -1

export class Roster<T extends Listed> {
  private readonly members: T[] = []

  get size (): number {
    return this.members.length
  }

  /** No effect if already a member. */
  add (member: T): void {
    if (member.place !== NOT_LISTED) return
    member.place = this.members.length
    this.members.push(member)
  }

  /** No effect if not a member. */
  delete (member: T): void {
    const { place } = member
    if (place === NOT_LISTED) return
    member.place = NOT_LISTED
    const last = this.members.pop() as T
    if (last === member) return
    this.members[place] = last
    last.place = place
  }

  /** The current members, in any order; the roster may change while the result is iterated. */
  all (): T[] {
    return [...this.members]
  }
}
