extension Machine {
  /// A locked huge page for a hugetlb folio to move to, or nil (rule P4.15).
  ///
  /// Kernel: `alloc_migration_target()`, mm/migrate.c, for hugetlb.
  package mutating func allocateHugeTarget(
    for source: Folio, _ target: MigrationTarget
  ) -> Folio? {
    let leavesNode: Bool
    switch target.reason {
    case .memoryHotplug, .memoryFailure, .syscall, .mempolicyMbind: leavesNode = true
    default: leavesNode = false
    }
    let home = target.node ?? node(of: source.head)
    guard
      let pfn = allocateHugeMigrationTarget(
        order: source.order, node: target.leavesNode ? otherNodes(home).first ?? home : home,
        gfp: target.gfp, inPinScope: target.inPinScope, mayLeaveNode: leavesNode
      ).pfn
    else { return nil }
    let destination = Folio(pfn, order: source.order)
    makeFolio(destination, .none, index: 0, owner: UInt8(ascii: "H"), [.hugetlb, .locked])
    return destination
  }
}
