/// The node counters that folios and pins move, as indices into ``VMStatNames/nodeItems``.
public enum NodeItem: Int, Sendable {
  case isolatedAnon = 7
  case isolatedFile = 8
  case anonMapped = 17
  case fileMapped = 18
  case filePages = 19
  case dirty = 20
  case shmem = 23
  case shmemTHPs = 24
  case shmemPMDMapped = 25
  case filePMDMapped = 27
  case anonTHPs = 28
  case vmscanWrite = 29
  case immediateReclaim = 30
  case written = 32
  case pinAcquired = 35
  case pinReleased = 36
  case pageTable = 38
  /// nr_swapcached.
  case swapCached = 40
}

extension Machine {
  @inline(__always)
  mutating func count(_ item: NodeItem, _ amount: Int, at pfn: PFN) {
    nodeItems[node(of: pfn) * VMStatNames.nodeItems.count + item.rawValue] += amount
  }

  /// The sum of a counter over all nodes.
  public func total(_ item: NodeItem) -> Int {
    var sum = 0
    for node in 0..<nodeCount {
      sum += nodeItems[node * VMStatNames.nodeItems.count + item.rawValue]
    }
    return sum
  }
}
