// What mprotect, madvise and mlock change about a range that is mapped.

/// Advice about a range, as madvise(2) takes it.
public enum MemoryAdvice: String, Sendable, CaseIterable {
  case dontNeed = "dontneed"
  case hugePage = "hugepage"
  case noHugePage = "nohugepage"
  case populateRead = "populate_read"
  case populateWrite = "populate_write"
  case cold
  case dontFork = "dontfork"
  case doFork = "dofork"
  /// A proposal that was never merged (rule P9.20).
  case noMovable = "nomovable"
  /// The same under another name (rule P9.22).
  case pinnable
  /// The same as a hint, which the kernel follows for a share of the pages (rule P9.22).
  case mightPin = "might_pin"
}

extension Machine {
  /// Gives advice about a range.
  ///
  /// Kernel: `do_madvise()`, mm/madvise.c. Populating is
  /// ``populate(_:_:_:inPinScope:writes:)``'s.
  package mutating func advise(
    _ space: Int, _ pages: Range<Int>, _ advice: MemoryAdvice
  ) -> Result<Void, Refusal> {
    switch advice {
    case .populateRead: return populateByAdvice(space, pages, .read)
    case .populateWrite: return populateByAdvice(space, pages, .write)
    case .dontNeed: return dontNeed(space, pages)
    case .cold: return deactivate(space, pages)
    case .hugePage: return changeFlags(space, pages, insert: .hugePage, remove: .noHugePage)
    case .noHugePage: return changeFlags(space, pages, insert: .noHugePage, remove: .hugePage)
    case .dontFork: return changeFlags(space, pages, insert: .dontCopy)
    case .doFork: return changeFlags(space, pages, remove: .dontCopy)
    case .noMovable, .pinnable, .mightPin: return advisePlacement(space, pages, advice)
    }
  }

  /// Changes flags of the areas in a range; holes are passed over and reported at the end.
  ///
  /// Kernel: `madvise_walk_vmas()`.
  mutating func changeFlags(
    _ space: Int, _ pages: Range<Int>, insert: MemoryArea.Flags = [], remove: MemoryArea.Flags = []
  ) -> Result<Void, Refusal> {
    let hole = firstHole(space, pages)
    if let refusal = change(space, pages, { $0.flags = $0.flags.subtracting(remove).union(insert) })
    {
      return .failure(refusal)
    }
    guard let hole else { return .success(()) }
    return .failure(notMapped(hole))
  }

  func notMapped(_ page: Int) -> Refusal {
    Refusal(.ENOMEM, "nothing is mapped at 0x\(hex(page << geometry.pageShift))", rule: "P2.13")
  }

  /// Applies a change to every area in a range, cut at its ends and joined again.
  ///
  /// Kernel: `vma_modify()`.
  private mutating func change(
    _ space: Int, _ pages: Range<Int>, _ body: (inout MemoryArea) -> Void
  ) -> Refusal? {
    var page = pages.lowerBound
    while page < pages.upperBound {
      let index = spaces[space].firstArea(endingAfter: page)
      guard index < spaces[space].areas.count, spaces[space].areas[index].start < pages.upperBound
      else { break }
      let area = spaces[space].areas[index]
      let range = max(area.start, page)..<min(area.end, pages.upperBound)
      page = range.upperBound
      var changed = area
      body(&changed)
      if changed == area { continue }
      if let refusal = splitAreas(space, range) { return refusal }
      if let index = spaces[space].areaIndex(range.lowerBound) {
        body(&spaces[space].areas[index])
        mergeAreas(space, around: index..<index + 1)
      }
    }
    return nil
  }

  /// Takes the pages of a range away; the next access finds it empty.
  ///
  /// Kernel: `madvise_dontneed_single_vma()`, `zap_page_range_single()`.
  private mutating func dontNeed(_ space: Int, _ pages: Range<Int>) -> Result<Void, Refusal> {
    var page = pages.lowerBound
    var hole: Int?
    while page < pages.upperBound {
      let index = spaces[space].firstArea(endingAfter: page)
      guard index < spaces[space].areas.count, spaces[space].areas[index].start < pages.upperBound
      else {
        hole = hole ?? page
        break
      }
      let area = spaces[space].areas[index]
      if area.start > page { hole = hole ?? page }
      var range = max(area.start, page)..<min(area.end, pages.upperBound)
      page = range.upperBound
      if !area.flags.isDisjoint(with: [.locked, .pfnMap]) {
        return .failure(
          Refusal(
            .EINVAL,
            "MADV_DONTNEED of locked or device memory at 0x\(hex(range.lowerBound << geometry.pageShift))",
            rule: "P2.23"))
      }
      if let file = area.file {
        let unit = 1 << files[file].hugeOrder
        if range.lowerBound % unit != 0 {
          return .failure(
            Refusal(.EINVAL, "the range starts inside a hugetlb page", rule: "P2.2"))
        }
        // What the range covers of its last huge page stays.
        range = range.lowerBound..<range.upperBound & ~(unit - 1)
        if range.isEmpty { continue }
      }
      drainLRU(cpu: currentCPU)
      var gather = PageGather(space: space)
      zap(area, range, &gather)
      finish(&gather)
    }
    if let hole { return .failure(notMapped(hole)) }
    return .success(())
  }

  /// Moves the pages of a range to the inactive lists.
  ///
  /// Kernel: `madvise_cold()`, `folio_deactivate()`; with MGLRU the flag alone moves.
  private mutating func deactivate(_ space: Int, _ pages: Range<Int>) -> Result<Void, Refusal> {
    if let hole = firstHole(space, pages) { return .failure(notMapped(hole)) }
    drainLRU(cpu: currentCPU)
    var page = pages.lowerBound
    while page < pages.upperBound {
      // Kernel: `can_madv_lru_vma()`; areas before this one are done.
      if let area = spaces[space].area(page),
        isHugetlb(area) || !area.flags.isDisjoint(with: [.locked, .pfnMap])
      {
        return .failure(
          Refusal(
            .EINVAL,
            "MADV_COLD of locked, device or hugetlb memory at 0x\(hex(page << geometry.pageShift))",
            rule: "P1.27"))
      }
      let (entry, slot, level) = pageTables.leaf(spaces[space].root, page: page)
      let next = (page & ~((1 << level.order) - 1)) + 1 << level.order
      if level == .pmd, entry.isLeaf, next - page < 512 || next > pages.upperBound {
        splitLeaf(space, page: page)
        continue
      }
      if entry.isPresent, !entry.flags.contains(.special), let folio = folio(of: entry.pfn),
        folios.mappings(folio) == 1, !frames.head(folio.head).flags.contains(.hugetlb)
      {
        pageTables[slot].flags.remove(.young)
        let state = frames.head(folio.head)
        if state.isLRU, !state.flags.contains(.unevictable) { queue(folio, .deactivate) }
      }
      page = next
    }
    return .success(())
  }

  // MARK: Permissions

  /// Changes what a range may be used for.
  ///
  /// Kernel: `do_mprotect_pkey()`, `change_protection()`: a PMD leaf that the range covers in part
  /// is split; entries only lose rights here, and faults give them back.
  package mutating func protect(
    _ space: Int, _ pages: Range<Int>, _ rights: MemoryArea.Flags
  ) -> Result<Void, Refusal> {
    if let hole = firstHole(space, pages) { return .failure(notMapped(hole)) }
    let wanted = rights.intersection([.read, .write])
    var page = pages.lowerBound
    while page < pages.upperBound {
      guard let area = spaces[space].area(page) else { break }
      let range = page..<min(area.end, pages.upperBound)
      page = range.upperBound
      if let refusal = change(
        space, range, { $0.flags = $0.flags.subtracting([.read, .write]).union(wanted) })
      {
        return .failure(refusal)
      }
      if area.flags.intersection([.read, .write]) != wanted { changeEntries(space, range, wanted) }
    }
    return .success(())
  }

  private mutating func changeEntries(
    _ space: Int, _ pages: Range<Int>, _ rights: MemoryArea.Flags
  ) {
    guard let area = spaces[space].area(pages.lowerBound) else { return }
    var page = pages.lowerBound
    while page < pages.upperBound {
      let (entry, slot, level) = pageTables.leaf(spaces[space].root, page: page)
      let next = (page & ~((1 << level.order) - 1)) + 1 << level.order
      if level == .pmd, entry.isLeaf, !isHugetlb(area), next - page < 512 || next > pages.upperBound
      {
        splitLeaf(space, page: page)
        continue
      }
      if entry.isPresent {
        var flags = entry.flags
        if rights.isEmpty { flags.insert(.protNone) } else { flags.remove(.protNone) }
        if !rights.contains(.write) {
          flags.remove(.write)
        } else if canWriteAtOnce(area, entry) {
          flags.insert(.write)
        }
        pageTables[slot].flags = flags
      }
      page = next
    }
  }

  /// Kernel: `can_change_pte_writable()`: private pages that are exclusive, shared ones that are
  /// dirty.
  private func canWriteAtOnce(_ area: MemoryArea, _ entry: PageTableEntry) -> Bool {
    if entry.flags.contains(.special) { return false }
    return area.flags.contains(.shared)
      ? entry.flags.contains(.dirty) : entry.flags.contains(.exclusive)
  }
}
