public import MemoryModel

extension Machine {
  /// A call of `offline_pages()` for the memory block at `start` that has not begun.
  ///
  /// - Returns: Nil with EINVAL when the block has holes or spans zones (rule P6.1); such a block
  ///   never goes offline.
  /// - Throws: `.misuse` when no block starts there, or it is offline already.
  public func memoryOffline(
    at start: PFN
  ) throws(MemoryError) -> (call: MemoryOffline?, refusal: Refusal?) {
    let (range, zone, refusal) = try offlineZone(at: start)
    return (refusal == nil ? MemoryOffline(range, zone: zone) : nil, refusal)
  }
}
