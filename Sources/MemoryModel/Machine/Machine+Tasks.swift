// What those who run several tasks on one machine need to see and say.

extension Machine {
  /// Whether a `cma_alloc()` is between c2 and c12 of P10.4.
  public var isHoldingCMAMutex: Bool { isCMAMutexHeld }

  /// NR_ISOLATED_ANON and NR_ISOLATED_FILE of all nodes.
  public var isolatedPages: Int { (0..<nodeCount).reduce(0) { $0 + isolatedPages(node: $1) } }

  /// The same of one node; below 0 where a kernel lowers what it never raised (rule P3.56).
  public func isolatedPages(node: Int) -> Int {
    let first = node * VMStatNames.nodeItems.count
    return nodeItems[first + NodeItem.isolatedAnon.rawValue]
      + nodeItems[first + NodeItem.isolatedFile.rawValue]
  }

  /// Numbers the next operation of a user; holders say since which one they hold.
  public mutating func countOperation() { beginOperation() }
}
