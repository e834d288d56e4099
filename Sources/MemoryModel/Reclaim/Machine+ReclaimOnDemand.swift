extension Machine {
  /// Reclaims about as many pages as a user asks for (rule A7.36).
  ///
  /// Kernel: `user_proactive_reclaim()`, `memory_reclaim()`, mm/memcontrol.c: a quarter of the rest at a
  /// time, and 16 fruitless tries, or a signal, end it.
  ///
  /// - Parameter node: Nil for all nodes.
  /// - Returns: Pages reclaimed, perhaps more than asked for.
  public mutating func reclaimPages(_ pages: Int, node: Int? = nil) -> Int {
    var reclaimed = 0
    var retries = Self.maxReclaimRetries
    while reclaimed < pages {
      if retries == 0 { drainAllLRU() }
      var control = ReclaimControl(.kernel, order: 0, highest: .device, by: .direct)
      control.goal = max((pages - reclaimed) / 4, ReclaimControl.cluster)
      while control.priority >= 0, control.reclaimed < control.goal {
        control.scanned = 0
        for candidate in 0..<nodeCount where node == nil || node == candidate {
          shrinkNode(candidate, &control)
        }
        control.priority -= 1
      }
      if isToStop { return reclaimed + control.reclaimed }
      if control.reclaimed == 0 {
        if retries == 0 { return reclaimed }
        retries -= 1
      }
      reclaimed += control.reclaimed
    }
    return reclaimed
  }
}
