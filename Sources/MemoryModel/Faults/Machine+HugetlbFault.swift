// Faults of hugetlb mappings. The pool is behind three functions, so that nothing else of a fault
// knows how it is kept.

extension Machine {
  /// A huge page of the pool for a page of a hugetlb area; nil when the pool has none that may serve.
  ///
  /// Kernel: `alloc_hugetlb_folio()`.
  ///
  /// - Parameter isReserved: The mapping reserved it at mmap time.
  mutating func takeHugePage(order: Int, inPinScope: Bool, isReserved: Bool) -> PFN? { nil }

  mutating func startHugetlbFault(_ fault: inout PageFault, _ area: MemoryArea, _ index: Int) {
    // Rule P2.36: without a page of the pool the fault is a SIGBUS.
    refuse(&fault, .EFAULT, "the pool has no huge page for it (SIGBUS)", "P2.36")
  }
}
