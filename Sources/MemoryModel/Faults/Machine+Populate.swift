// Populating a range by faults, with the drain of this CPU's LRU batches at the end (rules P1.23,
// P2.13).

extension Machine {
  /// What MAP_POPULATE and mlock do; errors are the caller's to ignore.
  ///
  /// Kernel: `__mm_populate()`, `populate_vma_page_range()`: private writable memory gets write
  /// faults, everything else read faults.
  @discardableResult
  package mutating func populate(
    _ space: Int, _ pages: Range<Int>, inPinScope: Bool = false, writes: Bool = false
  ) -> FaultRun {
    var run = FaultRun(done: 0)
    var page = pages.lowerBound
    while page < pages.upperBound {
      let index = spaces[space].firstArea(endingAfter: page)
      guard index < spaces[space].areas.count else { break }
      let area = spaces[space].areas[index]
      page = max(page, area.start)
      let end = min(area.end, pages.upperBound)
      if page >= end { break }
      if area.flags.isDisjoint(with: [.io, .pfnMap]) {
        let isWrite = area.flags.contains(.write) && !area.flags.contains(.shared)
        let part = faultRange(
          space, page..<end, isWrite ? .write : .read, inPinScope: inPinScope, writes: writes)
        run.faults += part.faults
        run.done += part.done
        run.refusal = part.refusal
        run.waitsFor = part.waitsFor
        if part.done < end - page { break }
      }
      page = end
    }
    drainLRU(cpu: currentCPU)
    return run
  }

  /// MADV_POPULATE_READ and MADV_POPULATE_WRITE.
  ///
  /// Kernel: `madvise_populate()`, `faultin_page_range()`.
  mutating func populateByAdvice(
    _ space: Int, _ pages: Range<Int>, _ access: FaultAccess
  ) -> Result<Void, Refusal> {
    defer { drainLRU(cpu: currentCPU) }
    var page = pages.lowerBound
    while page < pages.upperBound {
      let area: MemoryArea
      switch areaToPopulate(space, page, access) {
      case .failure(let refusal): return .failure(refusal)
      case .success(let found): area = found
      }
      let end = min(area.end, pages.upperBound)
      let run = faultRange(space, page..<end, access)
      if let refusal = run.refusal { return .failure(refusal) }
      if run.done < end - page {
        if isKilled(space) {
          return .failure(
            Refusal(
              .EINTR, "a fatal signal came: the OOM killer chose the process", rule: "A7.40"))
        }
        return .failure(
          Refusal(.EAGAIN, "a folio of the range is being migrated", rule: "P2.14"))
      }
      page = end
    }
    return .success(())
  }

  /// The area at a page, if MADV_POPULATE_READ or MADV_POPULATE_WRITE may fault it in.
  ///
  /// Kernel: `faultin_page_range()`, `check_vma_flags()`.
  package func areaToPopulate(
    _ space: Int, _ page: Int, _ access: FaultAccess
  ) -> Result<MemoryArea, Refusal> {
    guard let area = spaces[space].area(page) else { return .failure(notMapped(page)) }
    if !area.flags.isDisjoint(with: [.io, .pfnMap])
      || !area.flags.contains(access == .write ? .write : .read)
    {
      return .failure(
        Refusal(
          .EINVAL,
          "0x\(hex(page << geometry.pageShift)) is device memory, or not open for \(access)s",
          rule: "P2.13"))
    }
    return .success(area)
  }

  // MARK: mlock

  /// Locks a range and populates it.
  ///
  /// Kernel: `do_mlock()`.
  package mutating func mlock(_ space: Int, _ pages: Range<Int>) -> Result<Void, Refusal> {
    if case .failure(let refusal) = lockAreas(space, pages) { return .failure(refusal) }
    let run = populate(space, pages)
    if let refusal = run.refusal {
      return .failure(Refusal(.ENOMEM, refusal.message, rule: refusal.rule))
    }
    return .success(())
  }

  /// Marks the areas of a range as locked; what is missing of them is for ``mlock(_:_:)`` to populate.
  ///
  /// Kernel: `apply_vma_lock_flags()`.
  package mutating func lockAreas(_ space: Int, _ pages: Range<Int>) -> Result<Void, Refusal> {
    if let limit = spaces[space].memlockLimit,
      (spaces[space].lockedPages + pages.count) << geometry.pageShift > limit
    {
      return .failure(
        Refusal(.ENOMEM, "RLIMIT_MEMLOCK of \(limit) bytes does not allow it", rule: "I14"))
    }
    let hole = firstHole(space, pages)
    setLocked(space, pages.lowerBound..<(hole ?? pages.upperBound), true)
    if let hole { return .failure(notMapped(hole)) }
    return .success(())
  }

  package mutating func munlock(_ space: Int, _ pages: Range<Int>) -> Result<Void, Refusal> {
    let hole = firstHole(space, pages)
    setLocked(space, pages.lowerBound..<(hole ?? pages.upperBound), false)
    if let hole { return .failure(notMapped(hole)) }
    return .success(())
  }

  /// Kernel: `mlock_fixup()`, `mlock_vma_pages_range()`.
  private mutating func setLocked(_ space: Int, _ pages: Range<Int>, _ isLocked: Bool) {
    var page = pages.lowerBound
    while page < pages.upperBound {
      guard let area = spaces[space].area(page) else { return }
      let range = page..<min(area.end, pages.upperBound)
      page = range.upperBound
      if area.flags.contains(.locked) == isLocked || isHugetlb(area)
        || !area.flags.isDisjoint(with: [.io, .pfnMap])
      {
        continue
      }
      if splitAreas(space, range) != nil { continue }
      guard let index = spaces[space].areaIndex(range.lowerBound) else { continue }
      if isLocked {
        spaces[space].areas[index].flags.insert(.locked)
      } else {
        spaces[space].areas[index].flags.remove(.locked)
      }
      spaces[space].lockedPages += isLocked ? range.count : -range.count
      drainLRU(cpu: currentCPU)
      lockPresent(space, range, isLocked)
      drainLRU(cpu: currentCPU)
      mergeAreas(space, around: index..<index + 1)
    }
  }

  /// Large folios that are mapped page by page are left alone: reclaim finds them.
  ///
  /// Kernel: `mlock_pte_range()`.
  private mutating func lockPresent(_ space: Int, _ pages: Range<Int>, _ isLocked: Bool) {
    var page = pages.lowerBound
    while page < pages.upperBound {
      let (entry, _, level) = pageTables.leaf(spaces[space].root, page: page)
      if entry.isPresent, !entry.flags.contains(.special), !entry.flags.contains(.part),
        let folio = folio(of: entry.pfn)
      {
        if isLocked { mlock(folio) } else { munlock(folio) }
      }
      page = (page & ~((1 << level.order) - 1)) + 1 << level.order
    }
  }
}
