/// An unmap between two of its steps.
///
/// The areas are out of the process; their entries go page by page, then the tables, then the pages
/// themselves.
package struct Unmapping: Hashable, Sendable {
  package enum Phase: Hashable, Sendable {
    case zap(page: Int)
    case tables
    case finish
    /// An area's own holdings; of a file that goes with it, the pages from `page` on.
    case forget(area: Int, page: Int)
  }

  /// Pages whose tables go together, see ``Machine/freeTables(_:until:floor:ceiling:_:)``.
  struct Tables: Hashable, Sendable {
    var pages: Range<Int>
    let floor: Int
    let ceiling: Int
  }

  let areas: [MemoryArea]
  let endsProcess: Bool
  /// Whose tables are still there.
  var tables: [Tables]
  package var gather: PageGather
  package var phase: Phase
  var index = 0
}

extension Machine {
  /// Removes all mappings of a range.
  ///
  /// Kernel: `do_vmi_align_munmap()`, `vms_clear_ptes()`, mm/vma.c.
  ///
  /// - Returns: EINVAL when an end lies inside a hugetlb page.
  @discardableResult
  package mutating func unmap(_ space: Int, _ pages: Range<Int>) -> Result<Void, Refusal> {
    switch beginUnmap(space, pages) {
    case .success(var unmapping):
      while !advance(&unmapping, pages: .max) {}
      return .success(())
    case .failure(let refusal): return .failure(refusal)
    }
  }

  /// Ends a process: everything is unmapped, every table freed.
  ///
  /// Kernel: `exit_mmap()`, then `mmdrop()` for the top table.
  package mutating func exit(_ space: Int) {
    guard spaces[space].isAlive, case .success(var unmapping) = beginUnmap(space, nil) else {
      return
    }
    while !advance(&unmapping, pages: .max) {}
  }

  /// Takes the areas of a range, or of the whole process, out of it, and empties this CPU's batches.
  package mutating func beginUnmap(
    _ space: Int, _ pages: Range<Int>?
  ) -> Result<Unmapping, Refusal> {
    let range = pages ?? 0..<AddressSpace.endPage
    guard range.lowerBound >= 0, !range.isEmpty, range.upperBound <= AddressSpace.endPage else {
      return .failure(
        Refusal(.EINVAL, "munmap of an empty range, or one outside of user space", rule: "P2.23"))
    }
    if let refusal = splitAreas(space, range) { return .failure(refusal) }
    let first = spaces[space].firstArea(endingAfter: range.lowerBound)
    var last = first
    while last < spaces[space].areas.count, spaces[space].areas[last].start < range.upperBound {
      last += 1
    }
    let removed = Array(spaces[space].areas[first..<last])
    let floor = first > 0 ? spaces[space].areas[first - 1].end : 0
    let ceiling =
      last < spaces[space].areas.count ? spaces[space].areas[last].start : AddressSpace.endPage
    if !removed.isEmpty { drainLRU(cpu: currentCPU) }
    spaces[space].areas.removeSubrange(first..<last)
    // Before the entries go: `vms_complete_munmap_vmas()`.
    for area in removed where area.flags.contains(.locked) {
      spaces[space].lockedPages -= area.pages
    }
    return .success(
      Unmapping(
        areas: removed, endsProcess: pages == nil,
        tables: tableRanges(removed, floor: floor, ceiling: ceiling),
        gather: PageGather(space: space),
        phase: removed.first.map { .zap(page: $0.start) } ?? .finish))
  }

  /// Does up to `pages` pages of an unmap, or its next step; true when nothing is left to do.
  package mutating func advance(_ unmapping: inout Unmapping, pages: Int) -> Bool {
    switch unmapping.phase {
    case .zap(let page):
      let area = unmapping.areas[unmapping.index]
      let end = pages < area.end - page ? zapStep(unmapping, page, pages) : area.end
      zap(area, page..<end, &unmapping.gather, isPart: end < area.end)
      if end < area.end {
        unmapping.phase = .zap(page: end)
      } else {
        unmapping.index += 1
        let next = unmapping.areas.indices.contains(unmapping.index)
        unmapping.phase = next ? .zap(page: unmapping.areas[unmapping.index].start) : .tables
      }
      return false
    case .tables:
      // Those of one step go together, and so do those of up to 16 GiB in a slice.
      freeTables(&unmapping, pages: pages == 1 ? .max : max(pages, 1 << 22))
      if unmapping.tables.isEmpty { unmapping.phase = .finish }
      return false
    case .finish:
      finish(&unmapping.gather)
      unmapping.phase = .forget(area: 0, page: 0)
      if pages > 1 { return false }
      while !advance(&unmapping, pages: .max) {}
      return true
    case .forget(let index, let page):
      let space = unmapping.gather.space
      guard index < unmapping.areas.count else {
        if unmapping.endsProcess { end(space, unmapping.areas) }
        return true
      }
      if let next = forget(space, unmapping.areas[index], from: page, pages: pages) {
        unmapping.phase = .forget(area: index, page: next)
      } else {
        unmapping.phase = .forget(area: index + 1, page: 0)
      }
      return false
    }
  }

  /// Where a step ends that unmaps about `pages` pages: a large leaf, an empty part, or neighbours of one
  /// large folio in a table are one step.
  ///
  /// Kernel: `folio_pte_batch()`: neighbours take two slots of the gather, one by one they take more.
  private func zapStep(_ unmapping: Unmapping, _ page: Int, _ pages: Int) -> Int {
    let limit = unmapping.areas[unmapping.index].end
    let (entry, slot, level) = pageTables.leaf(
      spaces[unmapping.gather.space].root, page: page + pages - 1)
    if level == .pte {
      var end = page + pages
      guard entry.isPresent, entry.flags.contains(.part), let folio = folio(of: entry.pfn) else {
        return end
      }
      while end < limit, end & 511 != 0 {
        let next = pageTables[slot + end - page - pages + 1]
        guard next.isPresent, next.flags.contains(.part),
          next.pfn == entry.pfn + (end - page - pages + 1), folio.contains(next.pfn)
        else { break }
        end += 1
      }
      return end
    }
    let span = 1 << level.order
    return min(((page + pages - 1) & ~(span - 1)) + span, limit)
  }

  private mutating func end(_ space: Int, _ areas: [MemoryArea]) {
    for region in Set(areas.compactMap(\.region)) {
      regions[region].spaces.removeAll { $0 == space }
    }
    let frame = pageTables.frames[spaces[space].root]
    pageTables.remove(spaces[space].root)
    if frame != 0 { freeFolio(Folio(PFN(frame), order: 0)) }
    spaces[space].root = 0
    spaces[space].isAlive = false
    // Its files are closed last, among them that of the VM.
    closeGuestMemory(of: space)
    freeHashTable(of: space)
  }

  /// Gathers the tables of about `pages` pages.
  private mutating func freeTables(_ unmapping: inout Unmapping, pages: Int) {
    guard let part = unmapping.tables.first else { return }
    let span = 1 << PageTableLevel.pud.order
    let border =
      pages < part.pages.count
      ? (part.pages.lowerBound + pages) & ~(span - 1) : part.pages.upperBound
    let end = border > part.pages.lowerBound ? border : part.pages.upperBound
    freeTables(
      part.pages.lowerBound..<end, until: part.pages.upperBound, floor: part.floor,
      ceiling: part.ceiling, &unmapping.gather)
    if end < part.pages.upperBound {
      unmapping.tables[0].pages = end..<part.pages.upperBound
    } else {
      unmapping.tables.removeFirst()
      if pages == .max { freeTables(&unmapping, pages: pages) }
    }
  }

  /// The ranges of pages whose tables go together: areas that lie within 2 MiB of each other are
  /// treated as one.
  ///
  /// Kernel: `free_pgtables()`.
  private func tableRanges(_ areas: [MemoryArea], floor: Int, ceiling: Int) -> [Unmapping.Tables] {
    var ranges: [Unmapping.Tables] = []
    var index = 0
    while index < areas.count {
      let start = areas[index].start
      let isHuge = isHugetlb(areas[index])
      var end = areas[index].end
      index += 1
      while !isHuge, index < areas.count, areas[index].start <= end + 512, !isHugetlb(areas[index])
      {
        end = areas[index].end
        index += 1
      }
      let roof = index < areas.count ? areas[index].start : ceiling
      if let pages = tablePages(start..<end, floor: floor, ceiling: roof) {
        ranges.append(Unmapping.Tables(pages: pages, floor: floor, ceiling: roof))
      }
    }
    return ranges
  }

  /// Drops what a removed area held besides pages, a file without other users in parts.
  ///
  /// - Parameter page: Where the file's part of this call begins; 0 is the first call.
  /// - Returns: Where the next part begins, or nil when nothing is left.
  private mutating func forget(
    _ space: Int, _ area: MemoryArea, from page: Int, pages: Int
  ) -> Int? {
    if page == 0 {
      guard let file = area.file else { return nil }
      closeHugeArea(area)
      if !spaces[space].areas.contains(where: { $0.file == file }) {
        files[file].spaces.removeAll { $0 == space }
      }
      if files[file].isHugetlb || pages == .max || files[file].users > 1 {
        dropUser(file)
        return nil
      }
      files[file].users -= 1
    }
    guard let file = area.file else { return nil }
    let limit = files[file].chunks.count << 9
    let end = min(limit, page + pages)
    truncate(file, page..<end)
    return end < limit ? end : nil
  }
}
