// The walker that all speed depends on. Invariant: after each page the counts, the words and the
// counters agree, so that it may stop anywhere.

extension Machine {
  /// Pins what page tables show, without faults and without looking at areas (rules P3.30 to
  /// P3.33).
  ///
  /// Kernel: `gup_fast_pgd_range()` and below, mm/gup.c.
  ///
  /// - Returns: The page at which it stopped, `pages.upperBound` when it got all.
  package mutating func walkFast(
    _ space: Int, _ pages: Range<Int>, _ flags: GUPFlags, _ out: inout PinCursor,
    _ costs: inout OperationCosts
  ) -> Int {
    var page = pages.lowerBound
    // Upper levels are read once per table and call (rule P8.2).
    costs.entryReads += 2
    // A pin is a reference and then the rest of its bias; a plain reference is one update.
    let atomics = flags.contains(.pin) ? 2 : 1
    let root = spaces[space].root
    while page < pages.upperBound {
      let (entry, slot, level) = pageTables.leaf(root, page: page)
      if level == .pte {
        costs.entryReads += 1
        let last = min(pages.upperBound, (page | 511) + 1)
        let end = walkFastTable(slot - page & 511, page, last, flags, &out, &costs)
        if end < last { return end }
        page = last
      } else {
        guard entry.isLeaf, isAccessible(entry, flags, fast: true) else { return page }
        if level == .pmd, page & 511 == 0 {
          let wantsWrite = flags.contains(.write)
          let done = grabLeaves(
            slot, min(512 - page >> 9 & 511, (pages.upperBound - page) >> 9),
            wanted: wantsWrite || flags.contains(.get)
              ? (wantsWrite ? [.present, .write] : .present) : [.present, .exclusive],
            fastCheck(flags), flags, accessed: true, &out)
          if done > 0 {
            costs.entryReads += 2 * done
            costs.pinAtomics += atomics * done
            costs.lookups += flags.contains(.longTerm) ? done : 0
            costs.arrayWrites += done << 9
            page += done << 9
            continue
          }
        }
        let pagesHere = min(pages.upperBound, (page | ((1 << level.order) - 1)) + 1) - page
        let first = entry.pfn + page & ((1 << level.order) - 1)
        guard grabFast(first, pagesHere, entry, flags, &out) else { return page }
        costs.entryReads += 2
        costs.pinAtomics += atomics
        costs.lookups += flags.contains(.longTerm) ? 1 : 0
        costs.arrayWrites += pagesHere
        page += pagesHere
      }
    }
    return page
  }

  func isAccessible(_ entry: PageTableEntry, _ flags: GUPFlags, fast: Bool) -> Bool {
    guard entry.isPresent, !entry.flags.contains(.special), !entry.flags.contains(.device) else {
      return false
    }
    if entry.flags.contains(.protNone) { return false }
    return !flags.contains(.write) || entry.flags.contains(.write)
  }

  /// What the fast walk refuses for a long-term pin.
  private func fastCheck(_ flags: GUPFlags) -> PinningRules.Check {
    flags.contains(.longTerm) ? kernel.pinning.checkOfFastWalk : .none
  }

  /// The same as bits, see ``refusals(_:)``.
  func fastRefusals(_ flags: GUPFlags) -> UInt16 { refusals(fastCheck(flags)) }

  /// The part of a walk that lies in one PTE table, which begins at entry `table`.
  private mutating func walkFastTable(
    _ table: Int, _ first: Int, _ last: Int, _ flags: GUPFlags, _ out: inout PinCursor,
    _ costs: inout OperationCosts
  ) -> Int {
    let wantsWrite = flags.contains(.write)
    let atomics = flags.contains(.pin) ? 2 : 1
    let access = wantsWrite ? PageTableEntry.Flags([.present, .write]) : .present
    // A read pin wants anonymous pages to be exclusive; the long way tells.
    let wantsExclusive = !wantsWrite && !flags.contains(.get) && unshares(anonymous: true)
    let wantedOfAnonymous = access.union(wantsExclusive ? .exclusive : [])
    var wanted = wantedOfAnonymous
    var looked = wanted.union(.notPlain)
    var owner = PinOwner.anonymous
    let check = fastCheck(flags)
    var page = first
    while page < last {
      let done = grabPlain(
        table + page & 511, last - page, looked: looked, wanted: wanted,
        check, owner, flags, accessed: true, &out)
      costs.entryReads += 3 * done
      costs.pinAtomics += atomics * done
      costs.arrayWrites += done
      if flags.contains(.longTerm) { costs.lookups += done }
      page += done
      if page == last { break }
      // One page by the long way: a file's first, part of a large folio, or none that may be had.
      let entry = pageTables[table + page & 511]
      guard isAccessible(entry, flags, fast: true), grabFast(entry.pfn, 1, entry, flags, &out)
      else { break }
      costs.entryReads += 3
      costs.pinAtomics += atomics
      costs.arrayWrites += 1
      if flags.contains(.longTerm) { costs.lookups += 1 }
      page += 1
      if let file = plainFile(entry) {
        // What may be pinned of a file depends on whether the entry may be written, too.
        owner = .file(file)
        wanted = access.union(entry.flags.intersection(.write))
        looked = [.notPlain, .present, .write]
      } else {
        owner = .anonymous
        wanted = wantedOfAnonymous
        looked = wanted.union(.notPlain)
      }
    }
    return page
  }

  /// The file whose page of order 0 an entry shows, if it does.
  func plainFile(_ entry: PageTableEntry) -> Int? {
    if !entry.flags.isDisjoint(with: .notPlain) { return nil }
    return folios.owner(Folio(entry.pfn, order: 0)).mapping.fileIndex
  }

  /// Takes the pages of consecutive entries as long as they are plain: order-0 pages of an owner
  /// whose pages every such pin may take.
  ///
  /// - Returns: How many.
  mutating func grabPlain(
    _ slot: Int, _ count: Int, looked: PageTableEntry.Flags, wanted: PageTableEntry.Flags,
    _ check: PinningRules.Check, _ owner: PinOwner, _ flags: GUPFlags, accessed: Bool,
    _ out: inout PinCursor
  ) -> Int {
    // The loops write without noting what was there.
    if isNoting { return 0 }
    let bias = flags.contains(.pin) ? UInt32(FolioTable.pinBias) : 1
    let marked = accessed ? FolioTable.referencedBit : 0
    let words = pinWords.words.view()
    let entries = pageTables.entries.view()
    let records = folios.frames.view()
    let classes = pinClasses(check)
    let (looked, wanted) = (UInt64(looked.rawValue), UInt64(wanted.rawValue))
    var done = 0
    while done < count {
      let run = PinLoop.run(
        entries, from: slot + done, count: count - done, looked: looked, wanted: wanted, classes)
      let added: Int
      if run.isEmpty {
        let found = PinLoop.copyFrames(
          entries, from: slot + done, count: count - done, looked: looked, wanted: wanted, classes,
          records, into: words, at: out.position + done)
        added = PinLoop.add(
          records, words, at: out.position + done, count: found, owner, bias, accessed: marked)
      } else {
        added = PinLoop.add(
          run, records, owner, bias, accessed: marked, into: words, at: out.position + done)
      }
      if added == 0 { break }
      done += added
    }
    if flags.contains(.pin) { countPins(.pinAcquired, out.position..<out.position + done) }
    out.position += done
    out.pages += done
    return done
  }

  /// Takes whole folios of 2 MiB that consecutive leaves show, as long as they are plain and
  /// anonymous.
  ///
  /// - Returns: How many leaves.
  mutating func grabLeaves(
    _ slot: Int, _ count: Int, wanted: PageTableEntry.Flags, _ check: PinningRules.Check,
    _ flags: GUPFlags, accessed: Bool, _ out: inout PinCursor
  ) -> Int {
    guard geometry.pageblockOrder == 9, !isNoting else { return 0 }
    let looked = wanted.union([.leaf, .special, .protNone, .device, .migration, .swap])
    let isPin = flags.contains(.pin)
    let entries = pageTables.entries.view()
    let words = pinWords.words.view()
    let classes = pinClasses(check)
    let states = frames.blockStateView()
    let records = folios.large.view()
    let (compared, expected) = (UInt64(looked.rawValue), UInt64(wanted.union(.leaf).rawValue))
    let marked = accessed ? FrameState.Flags.referenced.rawValue : 0
    var done = 0
    while done < count {
      let run = PinLoop.pinLeafRun(
        entries, from: slot + done, count: count - done, looked: compared, wanted: expected,
        classes, states, records, .anonymous, into: words, at: out.position + 2 * done,
        isPin: isPin, accessed: marked)
      let added =
        run > 0
        ? run
        : PinLoop.pinLeaves(
          entries, from: slot + done, count: count - done, looked: compared, wanted: expected,
          classes, states, records, .anonymous, into: words, at: out.position + 2 * done,
          isPin: isPin, accessed: marked)
      if added == 0 { break }
      done += added
    }
    if isPin { countLeafPins(.pinAcquired, out.position, leaves: done) }
    out.position += 2 * done
    out.pages += done << 9
    return done
  }

  /// Counts the pins of plain words, for the node of each.
  mutating func countPins(_ item: NodeItem, _ range: Range<Int>) {
    if range.isEmpty { return }
    if nodeCount == 1 {
      nodeItems[item.rawValue] += range.count
    } else {
      for position in range { count(item, 1, at: PFN(pinWords.words[position])) }
    }
  }

  /// The same for runs of whole huge pages.
  mutating func countLeafPins(_ item: NodeItem, _ position: Int, leaves: Int) {
    if nodeCount == 1 {
      nodeItems[item.rawValue] += leaves << 9
    } else {
      for leaf in 0..<leaves { count(item, 512, at: PFN(pinWords.words[position + 2 * leaf + 1])) }
    }
  }

  /// The pageblocks that a check refuses, for a loop.
  mutating func pinClasses(_ check: PinningRules.Check) -> PinClasses {
    PinClasses(
      types: frames.pinClasses(), pageblockOrder: geometry.pageblockOrder,
      refused: refusals(check))
  }

  /// Whether the fast walk may pin a page of a file, or of nothing.
  ///
  /// Kernel: `gup_fast_folio_allowed()` (rule P3.30, step 6) and `gup_must_unshare()` without an
  /// area.
  func mayPinFast(
    _ mapping: MappingID, _ entry: PageTableEntry, _ flags: GUPFlags
  ) -> Bool {
    if mapping.isAnonymous { return true }
    guard let file = mapping.fileIndex else { return false }
    // `secretmem_mapping()`; a long-term pin stops at the devmap entries of DAX.
    if files[file].kind == .secret { return false }
    if files[file].kind == .fsdax, flags.contains(.longTerm) { return false }
    if !flags.contains(.write) {
      // A long-term read of a page-cache page may need a copy, which only the area tells.
      return !unshares(anonymous: false) || !flags.isSuperset(of: [.longTerm, .pin])
        || entry.flags.contains(.write)
    }
    return !flags.contains(.longTerm) || files[file].isMemory
      || mayWriteForLong(files[file].kind)
  }

  /// Takes pages of one folio at once.
  private mutating func grabFast(
    _ first: PFN, _ pages: Int, _ entry: PageTableEntry, _ flags: GUPFlags, _ out: inout PinCursor
  ) -> Bool {
    guard let folio = folio(of: first) else { return false }
    if fastRefusals(flags) >> frames.pinClass(folio.head) & 1 != 0 { return false }
    let mapping = folios.owner(folio).mapping
    if mapping.isAnonymous {
      if !flags.contains(.write) && flags.contains(.pin) && !entry.flags.contains(.exclusive),
        unshares(anonymous: true)
      {
        return false
      }
    } else if !mayPinFast(mapping, entry, flags) {
      return false
    }
    guard grab(folio, pages, flags) else { return false }
    setReferenced(folio)
    write(folio, first, pages, &out)
    return true
  }

  /// Takes references or pins on a folio (rule P3.23); false when its count is used up.
  ///
  /// Kernel: `try_grab_folio()`.
  package mutating func grab(_ folio: Folio, _ pages: Int, _ flags: GUPFlags) -> Bool {
    let added = flags.contains(.pin) && folio.order == 0 ? pages * FolioTable.pinBias : pages
    guard folios.references(folio) + added <= Int(Int32.max) else { return false }
    if flags.contains(.pin) { addPins(folio, pages) } else { addReferences(folio, pages) }
    return true
  }

  /// Writes down pages that follow each other in one folio: one word for an order-0 folio.
  package mutating func write(_ folio: Folio, _ first: PFN, _ pages: Int, _ out: inout PinCursor) {
    if folio.order == 0 {
      pinWords.words[out.position] = first.rawValue
      out.position += 1
    } else {
      pinWords.words[out.position] = PinWords.runBit | UInt32(pages)
      pinWords.words[out.position + 1] = first.rawValue
      out.position += 2
    }
    out.pages += pages
  }
}

extension PageTableEntry.Flags {
  /// What an entry of a page of order 0 that may be pinned in a run does not have.
  static let notPlain: Self = [.special, .protNone, .device, .migration, .swap, .part]
}
