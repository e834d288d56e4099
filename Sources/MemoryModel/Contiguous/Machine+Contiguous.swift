extension Machine {
  /// A call of `alloc_contig_range()` that has not begun.
  ///
  /// - Parameter noWarn: `__GFP_NOWARN`, which the pages that move ask with, too.
  /// - Throws: `.misuse` when the range is empty or leaves its zone.
  public func contiguousAllocation(
    of range: PFNRange, _ mode: IsolationMode = .contiguousPages, noWarn: Bool = false
  ) throws(MemoryError) -> ContiguousAllocation {
    try checkContiguous(range)
    return ContiguousAllocation(range, mode, owner: UInt8(ascii: "K"), noWarn: noWarn)
  }

  /// Allocates exactly the pages of a range, each on its own (rule A6.21).
  ///
  /// Kernel: `alloc_contig_range()`, mm/page_alloc.c.
  ///
  /// - Returns: Why not; nil is success.
  /// - Throws: `.misuse` also when the call waits for folios that nobody puts back (rule P5.11).
  public mutating func allocateContiguous(
    _ range: PFNRange, _ mode: IsolationMode = .contiguousPages
  ) throws(MemoryError) -> Refusal? {
    var allocation = try contiguousAllocation(of: range, mode)
    guard let outcome = allocation.run(&self) else {
      allocation.interrupt(&self)
      throw MemoryError(
        .misuse, "the call waits until isolated pages are put back; advance it step by step")
    }
    return outcome.refusal
  }
}
