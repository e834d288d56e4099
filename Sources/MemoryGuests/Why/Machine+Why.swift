public import MemoryModel

extension Machine {
  /// Explains a page: where it is, who maps and holds it, and what could be done with it now.
  ///
  /// Costs a search of all pins; nothing is kept per frame for it.
  public func why(_ pfn: PFN) -> PageExplanation {
    var answer = PageExplanation(pfn: pfn, state: state(of: pfn))
    answer.hasNodes = nodeCount > 1
    if let zone = frames.zone(of: pfn) {
      answer.zone = self.zone(zone).index.name
      answer.node = self.zone(zone).node
      answer.pageblockType = frames.migrateType(pfn)
    }
    answer.cmaArea = cmaAreas.first { pfn.index >= $0.base && pfn.index < $0.base + $0.pages }?.name
    answer.block = block(containing: pfn).map { ($0.start, $0.state.order) }
    guard answer.state == .allocated, let folio = folio(of: pfn) else {
      answer.migration = verdictWithoutFolio(answer.state)
      return answer
    }
    answer.block = (folio.head, folio.order)
    let facts = self.facts(folio)
    answer.facts = facts
    answer.places = places(of: folio, pfn) + swapPlaces(of: folio, pfn)
    answer.holders = holders(of: folio, facts)
    answer.migration = migrationVerdict(folio, answer)
    answer.pinning = pinningVerdict(folio, answer)
    return answer
  }

  private func state(of pfn: PFN) -> PageExplanation.State {
    guard isMemory(pfn) else { return .hole }
    if folio(of: pfn) != nil { return .allocated }
    switch block(containing: pfn)?.state.kind {
    case .free: return .free
    case .perCPU: return .perCPU
    case .allocated: return .allocated
    case .hugePool: return .pool
    case .some(FrameState.Kind.none), nil: return .reserved
    }
  }

  // MARK: What it is

  private func facts(_ folio: Folio) -> PageExplanation.FolioFacts {
    let state = frames.head(folio.head)
    let names: [(FrameState.Flags, String)] = [
      (.locked, "locked"), (.isolated, "isolated"), (.dirty, "dirty"), (.active, "active"),
      (.referenced, "referenced"), (.mlocked, "mlocked"), (.unevictable, "unevictable"),
      (.writeback, "writeback"), (.swapBacked, "swapbacked"),
      (.partiallyMapped, "partially_mapped"), (.hugetlb, "hugetlb"),
    ]
    var flags = names.filter { state.flags.contains($0.0) }.map(\.1)
    if state.isLRU { flags.insert("lru", at: 0) }
    if swapSlot(of: folio) != nil { flags.append("swapcache") }
    return PageExplanation.FolioFacts(
      folio: folio, kind: kind(folio, state), references: references(folio),
      expectedReferences: expectedReferences(folio), mappings: mappings(folio),
      pins: state.flags.contains(.folio) ? pinCount(folio) : 0, flags: flags,
      list: state.isLRU ? state.lruList : nil)
  }

  private func kind(_ folio: Folio, _ state: FrameState) -> String {
    if folio.head == zeroPage { return "the zero page" }
    if folio.head == hugeZeroPage { return "the huge zero page" }
    let size =
      switch folio.order {
      case 0: "page"
      case 9: "huge page"
      case 18: "gigantic page"
      default: "folio of \(folio.pages) pages"
      }
    guard state.flags.contains(.folio) else {
      switch kernelUse(of: folio) {
      case .pageTable(let space): return "page table of \(spaces[space].name)"
      case .topTable(let space): return "top page table of \(spaces[space].name)"
      case .hashTable, .reverseMap, .pressure, .cmaBuffer: return "kernel \(size)"
      case nil: break
      }
      switch state.owner {
      case UInt8(ascii: "T"): return "page table"
      case UInt8(ascii: "S"): return "slab \(size)"
      case UInt8(ascii: "K"): return "kernel \(size)"
      case FrameState.cmaOwner: return "\(size) that cma_alloc handed out"
      default: return "\(size) of a kernel user"
      }
    }
    let mapping = owner(folio).mapping
    if let file = mapping.fileIndex {
      let name = files[file].name
      return switch files[file].kind {
      case .shmem: "shmem \(size) of \(name)"
      case .hugetlb: "hugetlb page of \(name)"
      case .guestMemory: "guest_memfd \(size) of \(name)"
      case .secret: "secret \(size) of \(name)"
      default: "page cache \(size) of \(name)"
      }
    }
    if mapping.isAnonymous {
      return state.flags.contains(.hugetlb) ? "anonymous hugetlb page" : "anonymous \(size)"
    }
    return "\(size) that nothing maps"
  }

  private func kernelUse(of folio: Folio) -> KernelUse? {
    kernelUses(in: PFNRange(folio.head.index, folio.head.index + 1))[folio.head]
  }

  private func places(of folio: Folio, _ pfn: PFN) -> [PageExplanation.Place] {
    mappings(of: folio).compactMap { mapping in
      let (entry, _, _) = entry(mapping.space, page: mapping.page)
      let span = 1 << mapping.level.order
      guard pfn.index >= entry.pfn.index, pfn.index < entry.pfn.index + span else { return nil }
      return PageExplanation.Place(
        space: mapping.space, name: spaces[mapping.space].name,
        address: (mapping.page + pfn.index - entry.pfn.index) << geometry.pageShift,
        level: mapping.level, isMigrationEntry: entry.isMigration)
    }
  }

  /// Entries that name the slot of a page in the swap cache; a fault lets them show the page again.
  private func swapPlaces(of folio: Folio, _ pfn: PFN) -> [PageExplanation.Place] {
    guard let slot = swapSlot(of: folio), let region = owner(folio).mapping.region else {
      return []
    }
    let offset = pfn.index - folio.head.index
    let page = regions[region].base + owner(folio).index + offset
    return regions[region].spaces.filter { spaces[$0].isAlive }.compactMap { space in
      let (entry, _, level) = entry(space, page: page)
      guard entry.isSwap, entry.pfn.index == slot + offset else { return nil }
      return PageExplanation.Place(
        space: space, name: spaces[space].name, address: page << geometry.pageShift, level: level,
        isMigrationEntry: false, isSwapEntry: true)
    }
  }

  // MARK: Who holds it

  private func holders(
    of folio: Folio, _ facts: PageExplanation.FolioFacts
  ) -> [PageExplanation.Holder] {
    var holders: [PageExplanation.Holder] = []
    for (pin, pages) in pinsHolding(folio) {
      let name = spaces.indices.contains(pin.space) ? spaces[pin.space].name : "?"
      let each = pin.isGet || folio.order > 0 ? 1 : FolioTable.pinBias
      let words = words(for: pin, folio, of: name)
      holders.append(
        PageExplanation.Holder(
          kind: pin.isGet ? .get : .pin,
          text: words + (pin.isLongTerm ? ", long-term" : "")
            + (pin.isGet ? ", a plain get" : ""),
          references: pages * each, operation: pin.operation))
    }
    for reference in temporaryReferences where folio.contains(reference.page) {
      holders.append(
        PageExplanation.Holder(
          kind: reference.isIsolation ? .isolation : .reference, text: reference.holder,
          references: 1, operation: reference.operation))
    }
    let walks = cacheHolds.count { $0 == folio.head }
    if walks > 0 {
      holders.append(
        PageExplanation.Holder(
          kind: .reference, text: "a drop_caches under way", references: walks))
    }
    for (cpu, kind) in batchesHolding(folio.head) {
      holders.append(
        PageExplanation.Holder(
          kind: .batch, text: "the \(kind.name) batch of CPU \(cpu)", references: 1))
    }
    if frames.head(folio.head).flags.contains(.isolated),
      !holders.contains(where: { $0.kind == .isolation })
    {
      holders.append(
        PageExplanation.Holder(
          kind: .isolation, text: "an operation that isolated it", references: 1))
    }
    guard frames.head(folio.head).flags.contains(.folio) else {
      if folio.head == zeroPage || folio.head == hugeZeroPage {
        holders.append(
          PageExplanation.Holder(
            kind: .kernel, text: "the kernel, for all who read empty memory",
            references: facts.references - facts.expectedReferences))
        return holders
      }
      switch kernelUse(of: folio) {
      case .pageTable, .topTable, nil: break
      case .some(let use):
        var since: Int?
        if case .pressure(let id) = use { since = pressures.first { $0.id == id }?.operation }
        holders.append(
          PageExplanation.Holder(
            kind: .kernel, text: describe(use), references: 1, operation: since))
      }
      return holders
    }
    let known = holders.reduce(0) { $0 + $1.references }
    let rest = facts.references - facts.expectedReferences - known
    if rest > 0 {
      holders.append(
        PageExplanation.Holder(
          kind: .unknown, text: "an operation under way, or a recorded state", references: rest))
    }
    return holders
  }

  /// Who holds a pin; for a device that translates addresses also where it sees the folio.
  private func words(for pin: PinRecord, _ folio: Folio, of name: String) -> String {
    guard let (device, _) = deviceMapping(ofPin: pin.id) else {
      return pin.holder == "pin #\(pin.id)"
        ? "\(pin.holder) of \(name)" : "\(pin.holder), pin #\(pin.id) of \(name)"
    }
    guard let iova = firstIOVA(of: folio, in: pin) else { return device.name }
    return "\(device.name) (iova 0x\(String(iova, radix: 16)))"
  }

  // MARK: What could be done

  private func verdictWithoutFolio(_ state: PageExplanation.State) -> PageExplanation.Verdict? {
    switch state {
    case .free, .perCPU, .pool: nil
    case .hole:
      PageExplanation.Verdict(
        isPossible: false, reason: "it is no memory", rule: "A1.1", function: "pfn_to_online_page")
    default:
      PageExplanation.Verdict(
        isPossible: false, reason: "boot kept it, it never moves", rule: "A1.26",
        function: "has_unmovable_pages")
    }
  }

  private func migrationVerdict(
    _ folio: Folio, _ answer: PageExplanation
  ) -> PageExplanation.Verdict {
    func no(_ reason: String, _ rule: String, _ function: String) -> PageExplanation.Verdict {
      PageExplanation.Verdict(isPossible: false, reason: reason, rule: rule, function: function)
    }
    let state = frames.head(folio.head)
    if folio.head == zeroPage || folio.head == hugeZeroPage {
      return no("the zero page is on no LRU list", "P1.5", "folio_isolate_lru")
    }
    guard state.flags.contains(.folio) else {
      return state.isDriverMovable
        ? PageExplanation.Verdict(
          isPossible: true, reason: "its driver moves it", rule: "P4.1",
          function: "isolate_movable_page")
        : no("kernel memory: no LRU list holds it", "P1.30", "folio_isolate_lru")
    }
    if let isolation = answer.holders.first(where: { $0.kind == .isolation }) {
      return no("it is off the LRU lists, held by \(isolation.text)", "P1.30", "folio_isolate_lru")
    }
    if isSecret(folio) {
      return no("secret memory stays where it is", "P3.12", "secretmem_migrate_folio")
    }
    if state.flags.contains(.locked) {
      return no("it is locked", "P4.4", "migrate_folio_unmap")
    }
    if isInaccessible(folio) {
      return no("memory of a guest_memfd is never moved", "P4.6", "move_to_new_folio")
    }
    let held = answer.holders.filter { $0.kind != .batch }
    let extra = held.reduce(0) { $0 + $1.references }
    if let first = held.first {
      let since = first.operation.map { ", since operation \($0)" } ?? ""
      let count = "\(extra) extra reference\(extra == 1 ? "" : "s")"
      // Only what a page table shows exclusively is refused before it is unmapped (P4.5).
      let isRefusedEarly =
        first.kind == .pin && owner(folio).mapping.isAnonymous && mappings(folio) > 0
      return no(
        "\(count), held by \(first.text)\(since)"
          + (held.count > 1 ? ", and by \(held.count - 1) more" : ""),
        isRefusedEarly ? "P4.5" : state.flags.contains(.hugetlb) ? "P4.15" : "P4.6",
        isRefusedEarly
          ? "try_to_migrate_one"
          : state.flags.contains(.hugetlb)
            ? "migrate_huge_page_move_mapping" : "folio_migrate_mapping")
    }
    if state.flags.contains(.hugetlb) {
      if folio.order > geometry.maxOrder {
        guard hasFreeHugePage(order: folio.order) else {
          return no(
            "the pool has no gigantic page to spare, and none is made for a migration", "P4.15",
            "alloc_migrate_hugetlb_folio")
        }
        return PageExplanation.Verdict(
          isPossible: true, reason: "as a whole, to a free gigantic page of the pool",
          rule: "P4.15", function: "unmap_and_move_huge_page")
      }
      return PageExplanation.Verdict(
        isPossible: true, reason: "as a whole, to another huge page", rule: "P4.15",
        function: "unmap_and_move_huge_page")
    }
    if !state.isLRU {
      if let batch = answer.holders.first(where: { $0.kind == .batch }) {
        return no(
          "it is not on the LRU yet: 1 reference of \(batch.text), until that drains", "P1.22",
          "folio_isolate_lru")
      }
      return no("it is on no LRU list", "P1.30", "folio_isolate_lru")
    }
    if let batch = answer.holders.first {
      return no(
        "1 extra reference of \(batch.text), until that drains", "P1.26", "folio_migrate_mapping")
    }
    if state.flags.contains(.partiallyMapped) {
      return PageExplanation.Verdict(
        isPossible: true, reason: "it is split first, and what nobody maps is freed", rule: "P4.11",
        function: "try_split_folio")
    }
    return PageExplanation.Verdict(
      isPossible: true,
      reason: folio.order > 0 ? "as a whole, or split if no block of its size is free" : "",
      rule: "P4.6", function: "migrate_pages")
  }

  private func pinningVerdict(
    _ folio: Folio, _ answer: PageExplanation
  ) -> PageExplanation.Verdict? {
    guard frames.head(folio.head).flags.contains(.folio) else { return nil }
    if isInaccessible(folio) {
      return PageExplanation.Verdict(
        isPossible: false, reason: "no page table of a process shows it, so no pin can name it",
        rule: "P2.2", function: "kvm_gmem_create")
    }
    guard let (reason, rule) = unpinnableReason(folio.head) else {
      return PageExplanation.Verdict(
        isPossible: true, reason: "a long-term pin leaves it where it is", rule: "P3.1",
        function: "folio_is_longterm_pinnable")
    }
    let rules = kernel.pinning
    if !rules.checksEveryPin {
      return PageExplanation.Verdict(
        isPossible: false,
        reason: "\(reason); this kernel pins it where it is, for nobody looks", rule: "P3.58",
        function: "get_user_pages")
    }
    // A gigantic target has to be free in the pool already, and outside of what may not be pinned.
    let isTooLarge =
      folio.order > geometry.maxOrder && !hasFreeHugePage(order: folio.order, inPinScope: true)
    let isStuck = isTooLarge || answer.migration.map { !$0.isPossible } ?? false
    let batched =
      answer.holders.contains { $0.kind == .batch }
      && answer.holders.allSatisfy { $0.kind == .batch }
    let consequence =
      if answer.holders.contains(where: { $0.kind == .isolation }) {
        rules.staysIfNothingIsolated
          ? "a long-term pin of it alone succeeds where it is (P3.50)"
          : "a long-term pin repeats until somebody puts it back (P3.43)"
      } else if batched {
        "a long-term pin drains the batches and moves it first"
      } else if isStuck {
        rules.pinsAnyway
          ? "a long-term pin fails to move it, and stays on it (P3.50)"
          : "a long-term pin gets ENOMEM (\(isTooLarge ? "P4.16" : "P3.42"))"
      } else {
        "a long-term pin moves it first"
      }
    return PageExplanation.Verdict(
      isPossible: false, reason: "\(reason); \(consequence)", rule: rule,
      function: "check_and_migrate_movable_pages")
  }
}
