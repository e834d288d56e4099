internal import MemoryModel
internal import MemoryOperations

// Invariant: it looks and changes nothing.

extension MachineObject {
  /// A second line, `in the way: 1 page of temporary reference #1 …`: who holds folios that a pin could not
  /// move, as far as they do so still; or nothing.
  func holdersText(_ stuck: [PFN]) -> String {
    var counts: [(holder: Blocker.Holder, pages: Int)] = []
    for head in stuck.prefix(64) {
      let pages = machine.folio(of: head)?.pages ?? 1
      for blocker in machine.blockers(in: PFNRange(head.index, head.index + pages)) {
        if let at = counts.firstIndex(where: { $0.holder == blocker.holder }) {
          counts[at].pages += blocker.pages.count
        } else {
          counts.append((blocker.holder, blocker.pages.count))
        }
      }
    }
    if counts.isEmpty { return "" }
    return "\n  in the way: " + machine.describe(counts, limit: 4)
  }
}
