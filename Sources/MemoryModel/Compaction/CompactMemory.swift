// Invariant: between two slices nothing is isolated, and `control`, when there is one, holds the free
// blocks of the zone at `zones[0]` that are its targets.

/// Compacts all zones of one node, or of all, some rounds a slice (rule A7.13).
///
/// Kernel: `compact_nodes()`, a write of 1 to /proc/sys/vm/compact_memory; `compact_store()` for one
/// node.
package struct CompactMemory: Operation {
  /// Pages that moved.
  package private(set) var outcome: Int?
  private let node: Int?
  private var zones: [Int] = []
  private var control: CompactControl?
  private var rounds: CompactRounds?
  private var movedBefore = 0
  private var hasBegun = false
  /// Nodes whose zones are still to come, from this one on.
  private var nextNode = 0

  /// Of up to a pageblock each: some milliseconds.
  static let sliceRounds = 16

  package init(node: Int? = nil) { self.node = node }

  package mutating func advance(_ machine: inout Machine, _ pace: Pace) -> Progress {
    if outcome != nil { return .finished }
    if !hasBegun {
      hasBegun = true
      movedBefore = machine.event(.migrateSuccess)
      machine.drainAllLRU()
      nextNode = node ?? 0
    }
    // One atomic step for those who watch.
    var left = pace == .slice ? Self.sliceRounds : .max
    while left > 0 {
      if control == nil || rounds == nil {
        guard beginZone(&machine) else {
          outcome = machine.event(.migrateSuccess) - movedBefore
          return .finished
        }
      }
      left -= 1
      if let result = machine.compactRound(&control!, &rounds!) { endZone(&machine, result) }
    }
    return .running
  }

  /// - Returns: False when no zone is left.
  private mutating func beginZone(_ machine: inout Machine) -> Bool {
    while true {
      while zones.isEmpty {
        guard nextNode <= node ?? machine.nodeCount - 1 else { return false }
        zones = machine.zones(of: nextNode, upTo: .movable)
        // A node's zones are one request, whose searches go on where the last one's ended.
        control = CompactControl(
          order: -1, gfp: .kernel, mode: .sync, orderCount: machine.geometry.orderCount)
        control?.ignoresSkipHints = true
        control?.wholeZone = true
        nextNode += 1
      }
      control?.zone = zones.removeFirst()
      if machine.beginCompacting(&control!) == nil {
        rounds = CompactRounds(control!, machine)
        return true
      }
    }
  }

  private mutating func endZone(_ machine: inout Machine, _ result: CompactResult) {
    _ = machine.endCompacting(&control!, result)
    rounds = nil
  }

  package mutating func interrupt(_ machine: inout Machine) {
    if outcome != nil { return }
    if rounds != nil { endZone(&machine, .contended) }
    outcome = hasBegun ? machine.event(.migrateSuccess) - movedBefore : 0
  }

  package func nextStep(_ machine: borrowing Machine) -> Step {
    Step("k1", "compact_nodes", "compact the zones of a node, or of all")
  }
}
