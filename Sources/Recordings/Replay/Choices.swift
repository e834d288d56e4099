/// The few things that a recording leaves open, searched in a fixed order.
///
/// A recording does not say when an idle CPU folded its counters, how often the statistics worker
/// ran during a sleep, on which CPU an interrupt freed a page, or where among traced allocations
/// the untraced four pages of a kernel stack were taken (docs/fidelity.md). Each such place asks
/// here. If the operations up to the next dump then disagree, they are run again with the next
/// combination; if none agrees, the first one counts.
struct Choices {
  /// What was chosen at each place, and out of how many.
  private(set) var taken: [(choice: Int, count: Int)] = []
  private var position = 0

  /// The next place's choice, `0 ..< count`; 0 is what usually happens.
  mutating func choose(_ count: Int) -> Int {
    defer { position += 1 }
    if position == taken.count { taken.append((0, count)) }
    return taken[position].choice
  }

  /// Starts over with the next combination.
  ///
  /// - Returns: Whether there is one.
  mutating func advance() -> Bool {
    // Places behind the point of failure never mattered.
    taken.removeSubrange(min(position, taken.count)...)
    position = 0
    while let last = taken.popLast() {
      if last.choice + 1 < last.count {
        taken.append((last.choice + 1, last.count))
        return true
      }
    }
    return false
  }
}
