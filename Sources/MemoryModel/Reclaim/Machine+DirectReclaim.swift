/// What `out_of_memory()` came to (rule A7.40).
enum OOMOutcome: Sendable, Equatable {
  /// The caller may try again; `killed` is the space of the victim, if one was killed.
  case acted(killed: Int?)
  case refused
}

extension Machine {
  /// Frees pages for a request that found none (rule A7.36).
  ///
  /// Reclaim is not modelled yet: it finds nothing.
  ///
  /// Kernel: `__perform_reclaim()`, `try_to_free_pages()`.
  ///
  /// - Returns: Pages reclaimed.
  mutating func reclaimDirectly(_ request: AllocationRequest) -> Int { 0 }

  /// Kernel: `out_of_memory()` (rules A4.23, A7.40).
  mutating func outOfMemory(_ request: AllocationRequest) -> OOMOutcome { .refused }

  /// Kernel: `kswapd()` (rules A7.34, A7.35).
  mutating func runKswapd(node: Int) {}
}
