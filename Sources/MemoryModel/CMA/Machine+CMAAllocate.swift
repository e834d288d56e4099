extension Machine {
  /// A call of `cma_alloc()` that has not begun.
  ///
  /// - Parameter pages: 0 is refused, as in the kernel.
  /// - Parameter alignment: log2 of what the first frame number must be a multiple of.
  /// - Parameter isScripts: The buffer is one of ``Machine/cmaBuffers``.
  /// - Throws: `.misuse` when there is no such area or alignment.
  public func cmaAllocation(
    area: Int, pages: Int, alignment: Int = 0, noWarn: Bool = false, isScripts: Bool = false
  ) throws(MemoryError) -> CMAAllocation {
    try checkArea(area)
    guard (0...1 << 32 - 1).contains(pages) else {
      throw MemoryError(.misuse, "pages = \(pages): give 0 to \(1 << 32 - 1)")
    }
    guard (0...32).contains(alignment) else {
      throw MemoryError(.misuse, "align = \(alignment): give an order from 0 to 32")
    }
    return CMAAllocation(
      area: area, pages: pages, alignment: alignment, noWarn: noWarn, isScripts: isScripts)
  }

  /// Takes neighbouring pages out of an area, moving away whatever borrows them (rules A6.30, P5.2).
  ///
  /// Kernel: `cma_alloc()`, mm/cma.c.
  ///
  /// - Throws: `.misuse` also when it waits: for another call's `cma_mutex`, or for isolated folios.
  public mutating func cmaAllocate(
    area: Int, pages: Int, alignment: Int = 0, noWarn: Bool = false
  ) throws(MemoryError) -> AllocationResult {
    var allocation = try cmaAllocation(
      area: area, pages: pages, alignment: alignment, noWarn: noWarn)
    if isCMAMutexHeld {
      throw MemoryError(
        .misuse, "another cma_alloc is under way; advance that one to its end first")
    }
    guard let outcome = allocation.run(&self) else {
      allocation.interrupt(&self)
      throw MemoryError(
        .misuse, "the call waits until isolated pages are put back; advance it step by step")
    }
    return outcome.result
  }
}
