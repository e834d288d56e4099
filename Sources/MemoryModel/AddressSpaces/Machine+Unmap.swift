extension Machine {
  /// Removes all mappings of a range.
  ///
  /// Kernel: `do_vmi_align_munmap()`, `vms_clear_ptes()`, mm/vma.c.
  ///
  /// - Returns: EINVAL when an end lies inside a hugetlb page.
  @discardableResult
  package mutating func unmap(_ space: Int, _ pages: Range<Int>) -> Result<Void, Refusal> {
    guard pages.lowerBound >= 0, !pages.isEmpty, pages.upperBound <= AddressSpace.endPage else {
      return .failure(
        Refusal(.EINVAL, "munmap of an empty range, or one outside of user space", rule: "P2.23"))
    }
    if let refusal = splitAreas(space, pages) { return .failure(refusal) }
    let first = spaces[space].firstArea(endingAfter: pages.lowerBound)
    var last = first
    while last < spaces[space].areas.count, spaces[space].areas[last].start < pages.upperBound {
      last += 1
    }
    if first == last { return .success(()) }
    let removed = Array(spaces[space].areas[first..<last])
    let floor = first > 0 ? spaces[space].areas[first - 1].end : 0
    let ceiling =
      last < spaces[space].areas.count ? spaces[space].areas[last].start : AddressSpace.endPage
    drainLRU(cpu: currentCPU)
    var gather = PageGather(space: space)
    for area in removed { zap(area, area.start..<area.end, &gather) }
    freeTables(of: removed, floor: floor, ceiling: ceiling, &gather)
    finish(&gather)
    spaces[space].areas.removeSubrange(first..<last)
    for area in removed { forget(space, area) }
    return .success(())
  }

  /// Ends a process: everything is unmapped, every table freed.
  ///
  /// Kernel: `exit_mmap()`, then `mmdrop()` for the top table.
  package mutating func exit(_ space: Int) {
    guard spaces[space].isAlive else { return }
    let removed = spaces[space].areas
    if !removed.isEmpty {
      drainLRU(cpu: currentCPU)
      var gather = PageGather(space: space)
      for area in removed { zap(area, area.start..<area.end, &gather) }
      freeTables(of: removed, floor: 0, ceiling: AddressSpace.endPage, &gather)
      finish(&gather)
    }
    spaces[space].areas = []
    for area in removed { forget(space, area) }
    for region in Set(removed.compactMap(\.region)) {
      regions[region].spaces.removeAll { $0 == space }
    }
    let frame = pageTables.frames[spaces[space].root]
    pageTables.remove(spaces[space].root)
    if frame != 0 { freeFolio(Folio(PFN(frame), order: 0)) }
    spaces[space].root = 0
    spaces[space].isAlive = false
  }

  /// Areas that lie within 2 MiB of each other are treated as one.
  ///
  /// Kernel: `free_pgtables()`.
  package mutating func freeTables(
    of areas: [MemoryArea], floor: Int, ceiling: Int, _ gather: inout PageGather
  ) {
    var index = 0
    while index < areas.count {
      let start = areas[index].start
      let isHuge = isHugetlb(areas[index])
      var end = areas[index].end
      index += 1
      while !isHuge, index < areas.count, areas[index].start <= end + 512, !isHugetlb(areas[index]) {
        end = areas[index].end
        index += 1
      }
      freeTables(
        start..<end, floor: floor, ceiling: index < areas.count ? areas[index].start : ceiling,
        &gather)
    }
  }

  /// What a removed area held besides pages.
  private mutating func forget(_ space: Int, _ area: MemoryArea) {
    if area.flags.contains(.locked) { spaces[space].lockedPages -= area.pages }
    guard let file = area.file else { return }
    if !spaces[space].areas.contains(where: { $0.file == file }) {
      files[file].spaces.removeAll { $0 == space }
    }
    dropUser(file)
  }
}
