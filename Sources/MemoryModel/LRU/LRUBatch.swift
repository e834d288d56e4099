// Invariant: a page in a batch is mapped but not yet on an LRU list, and the batch holds an extra
// reference to it, so nobody can free or migrate it (rules A7.32, AP.14).

/// Pages of one CPU that wait to enter the LRU lists.
///
/// Kernel: `struct folio_batch`.
struct LRUBatch: BitwiseCopyable {
  /// `PAGEVEC_SIZE` of 6.12.
  static let capacity = 31

  var count: Int
  var pages: InlineArray<31, PFN>
}

extension Machine {
  /// Puts a page on its way to the LRU: into this CPU's batch, which empties when it is full or
  /// when the page is a large folio.
  ///
  /// Kernel: `folio_add_lru()`, mm/swap.c.
  public mutating func addToLRU(_ pfn: PFN) {
    let count = lruBatches[currentCPU].count
    lruBatches[currentCPU].pages[count] = pfn
    lruBatches[currentCPU].count = count + 1
    if count + 1 == LRUBatch.capacity || frames.head(pfn).order > 0 {
      drainLRU(cpu: currentCPU)
    }
  }

  /// Whether a page waits in a batch of any CPU.
  func isInLRUBatch(_ pfn: PFN) -> Bool {
    isInLRUBatch(anyOf: PFNRange(pfn.index, pfn.index + 1))
  }

  /// Whether a page of `run` waits in a batch of any CPU.
  func isInLRUBatch(anyOf run: PFNRange) -> Bool {
    for cpu in 0..<cpuCount {
      for index in 0..<lruBatches[cpu].count where run.contains(lruBatches[cpu].pages[index]) {
        return true
      }
    }
    return false
  }

  /// Moves one CPU's waiting pages to the LRU lists.
  ///
  /// Kernel: `lru_add_drain_cpu()`.
  public mutating func drainLRU(cpu: Int) {
    for index in 0..<lruBatches[cpu].count {
      let pfn = lruBatches[cpu].pages[index]
      var state = frames.head(pfn)
      // Whoever frees a page empties the batches first; one that is gone all the same stays so.
      guard state.kind == .allocated else { continue }
      state.isLRU = true
      frames.setHead(pfn, state)
    }
    lruBatches[cpu].count = 0
  }

  /// Kernel: `lru_add_drain_all()`.
  public mutating func drainAllLRU() {
    for cpu in 0..<cpuCount { drainLRU(cpu: cpu) }
  }

  /// The pages that wait in a CPU's batch, oldest first.
  public func lruBatch(cpu: Int) -> [PFN] {
    (0..<lruBatches[cpu].count).map { lruBatches[cpu].pages[$0] }
  }
}
