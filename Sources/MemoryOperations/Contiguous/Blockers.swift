// Why a range cannot be emptied, page by page and grouped by whoever holds the pages.

public import MemoryModel

/// Pages that stay where they are, all for the same reason.
public struct Blocker: Sendable, Equatable {
  /// Who keeps a page, or what it is.
  public enum Holder: Sendable, Hashable {
    /// A pin of the model: its id, see ``Machine/pin(_:)``.
    case pin(Int)
    /// A temporary reference of the model: its id, see ``Machine/temporaryReferences``.
    case temporaryReference(Int)
    /// A drop_caches that has looked the folio up, and has not got round to giving it back (rule P9.30).
    case dropCaches
    /// References that nobody has signed for: a lookup, a read, another task's look (rule P9.32).
    case reference
    /// A batch on its way to the LRU, which isolation outside of CMA does not drain first (AP.14).
    case lruBatch(LRUBatchKind)
    /// Somebody else has it off the LRU (rule P1.30).
    case isolated
    /// A page of the kernel; its class as in ``FrameState/owner``.
    case kernel(UInt8)
    /// A page of the kernel of which a record says what it is for.
    case kernelUse(KernelUse)
    /// A page that `cma_alloc()` has handed out already.
    case cmaBuffer
    /// A CMA pageblock, which only `cma_alloc()` may isolate (rule P6.1).
    case cmaPageblock
    /// Huge pages in use, whose next target is a free one of the same range (rule P6.2).
    case hugePool
    /// A huge page larger than the largest free block (rule P5.13).
    case gigantic
    /// Reserved since boot, or a hole.
    case reserved
    /// The range begins inside a large folio, of which only the first page counts for the scan.
    case acrossStart

    /// One word for scripts.
    public var kind: String {
      switch self {
      case .pin: "pin"
      case .temporaryReference: "temp_ref"
      case .dropCaches: "drop_caches"
      case .reference: "reference"
      case .lruBatch: "lru_batch"
      case .isolated: "isolated"
      case .kernel, .kernelUse: "kernel"
      case .cmaBuffer: "cma_buffer"
      case .cmaPageblock: "cma_pageblock"
      case .hugePool: "huge_pool"
      case .gigantic: "gigantic"
      case .reserved: "reserved"
      case .acrossStart: "across_start"
      }
    }

    public static let kinds = [
      "pin", "temp_ref", "drop_caches", "reference", "lru_batch", "isolated", "kernel",
      "cma_buffer",
      "cma_pageblock", "huge_pool", "gigantic", "reserved", "across_start",
    ]
  }

  public struct Page: Sendable, Equatable {
    /// The first frame of the folio, or the frame itself where there is none.
    public var pfn: PFN
    /// Frames of the folio.
    public var frames: Int
    /// References of this holder: for a pin, pages of the folio that it pins.
    public var references: Int
  }

  public let holder: Holder
  /// Ascending.
  public var pages: [Page]

  public init(holder: Holder, pages: [Page]) {
    self.holder = holder
    self.pages = pages
  }

  /// Frames of all its folios.
  public var frames: Int { pages.reduce(0) { $0 + $1.frames } }
}

extension Machine {
  /// The pages of a range that would stay there, by holder, in the order of their first pages.
  ///
  /// It looks and changes nothing: what it names are references that no mapping and no cache
  /// accounts for, and pages that no list holds. A folio with two holders is listed with both.
  ///
  /// - Parameter mode: Who asks; memory that goes offline meets other obstacles than `cma_alloc()`.
  public func blockers(
    in range: PFNRange, for mode: IsolationMode = .cmaAllocation
  ) -> [Blocker] {
    var groups: [Blocker] = []
    var index: [Blocker.Holder: Int] = [:]
    func add(_ holder: Blocker.Holder, _ pfn: PFN, _ frames: Int, _ references: Int = 0) {
      let page = Blocker.Page(pfn: pfn, frames: frames, references: references)
      if let at = index[holder] {
        groups[at].pages.append(page)
      } else {
        index[holder] = groups.count
        groups.append(Blocker(holder: holder, pages: [page]))
      }
    }
    let held = pinnedFolios(in: range)
    // Searched when the first page of the kernel is met.
    var uses: [PFN: KernelUse]?
    var at = max(range.start, 0)
    let end = min(range.end, frames.count)
    while at < end {
      let pfn = PFN(at)
      if mode != .cmaAllocation, frames.migrateType(pfn) == .cma {
        add(.cmaPageblock, pfn, 1)
        at += 1
        continue
      }
      guard let block = block(containing: pfn) else {
        if frames.zone(of: pfn) != nil { add(.reserved, pfn, 1) }
        at += 1
        continue
      }
      let folio = Folio(block.start, order: block.state.order)
      at = block.start.index + folio.pages
      if mode == .memoryOffline, block.state.kind == .allocated,
        block.state.flags.contains(.hugetlb),
        nextHugePage(order: folio.order, node: node(of: folio.head)).map(range.contains) ?? false
      {
        add(.hugePool, folio.head, folio.pages)
      }
      for (holder, references) in holders(folio, block.state, mode, held[block.start] ?? []) {
        guard case .kernel = holder else {
          add(holder, folio.head, folio.pages, references)
          continue
        }
        if uses == nil { uses = kernelUses(in: range) }
        add(uses?[folio.head].map { .kernelUse($0) } ?? holder, folio.head, folio.pages, references)
      }
      if block.start.index < range.start, block.state.kind == .allocated, block.state.isLRU,
        mode != .memoryOffline
      {
        add(.acrossStart, folio.head, folio.pages)
      }
    }
    return groups
  }

  /// Folios of a range that pins hold, with the references of each pin.
  private func pinnedFolios(in range: PFNRange) -> [PFN: [(pin: Int, references: Int)]] {
    var found: [PFN: [(pin: Int, references: Int)]] = [:]
    for record in pins {
      for run in pinnedRuns(record) {
        guard run.first.index < range.end, run.first.index + run.pages > range.start,
          let folio = folio(of: run.first)
        else { continue }
        let references = record.isPerFolio ? 1 : run.pages
        if let last = found[folio.head]?.last, last.pin == record.id {
          found[folio.head]![found[folio.head]!.count - 1].references += references
        } else {
          found[folio.head, default: []].append((record.id, references))
        }
      }
    }
    return found
  }

  /// Everybody who keeps one block.
  private func holders(
    _ folio: Folio, _ state: FrameState, _ mode: IsolationMode,
    _ held: [(pin: Int, references: Int)]
  ) -> [(Blocker.Holder, Int)] {
    if state.kind == .hugePool || state.flags.contains(.hugetlb), folio.order > geometry.maxOrder {
      return [(.gigantic, 0)]
    }
    guard state.kind == .allocated else { return [] }
    if state.owner == FrameState.cmaOwner, !state.flags.contains(.folio) {
      return [(.cmaBuffer, 0)]
    }
    var found: [(Blocker.Holder, Int)] = []
    var rest = references(folio) - expectedReferences(folio)
    for hold in held {
      found.append((.pin(hold.pin), hold.references))
      let isGet = pin(hold.pin)?.isGet ?? false
      rest -= folio.order == 0 && !isGet ? hold.references * FolioTable.pinBias : hold.references
    }
    var isSigned = false
    for taken in temporaryReferences where folio.contains(taken.page) {
      found.append((.temporaryReference(taken.id), 1))
      if taken.isIsolation { isSigned = true } else { rest -= 1 }
    }
    let walks = cacheHolds.count { $0 == folio.head }
    if walks > 0 { found.append((.dropCaches, walks)) }
    rest -= walks
    let batches = batchesHolding(folio.head)
    rest -= batches.count
    let isListed = state.isLRU || state.flags.contains(.hugetlb)
    if state.flags.contains(.isolated) {
      if !isSigned { found.append((.isolated, 1)) }
      rest -= 1
    } else if !isListed, batches.isEmpty {
      return found.isEmpty ? [(.kernel(state.owner), 0)] : found
    }
    let isMovableZone =
      frames.zone(of: folio.head).map { zone($0).index == .movable } ?? false
    if mode != .cmaAllocation, !isListed, !isMovableZone {
      for batch in batches { found.append((.lruBatch(batch.kind), 1)) }
    }
    if rest > 0 { found.append((.reference, rest)) }
    return found
  }

  /// What several holders keep, in words: those of one name together, the first `limit` names.
  ///
  /// - Parameter pages: Pages of each holder.
  /// - Returns: Such as "3 pages of vm0's VFIO container, since operations 5 to 7; 1 page of …".
  public func describe(_ pages: [(holder: Blocker.Holder, pages: Int)], limit: Int) -> String {
    var groups: [(name: String, alone: String, pages: Int, operations: [Int])] = []
    for (holder, count) in pages {
      let name = name(holder)
      let operation = operation(of: holder)
      if let at = groups.firstIndex(where: { $0.name == name }), operation != nil {
        groups[at].pages += count
        groups[at].operations += operation.map { [$0] } ?? []
      } else {
        groups.append((name, describe(holder), count, operation.map { [$0] } ?? []))
      }
    }
    let texts = groups.prefix(limit).map { group in
      let first = group.operations.min()
      let last = group.operations.max()
      let words =
        if let first, let last, first < last {
          "\(group.name), since operations \(first) to \(last)"
        } else { group.alone }
      return "\(group.pages) page\(group.pages == 1 ? "" : "s") of " + words
    }
    let more = groups.count > limit ? "; and \(groups.count - limit) more holders" : ""
    return texts.joined(separator: "; ") + more
  }

  /// A holder without the operation since which it holds.
  private func name(_ holder: Blocker.Holder) -> String {
    guard case .pin(let id) = holder, let record = pin(id) else { return describe(holder) }
    let owner = spaces[record.space].name
    let name =
      record.holder.hasPrefix("\(owner)'s ") ? record.holder : "\(record.holder) of \(owner)"
    let refused = (deviceMapping(ofPin: id)?.device.revocation.refused ?? 0) > 0
    return name + (refused ? ", which refused to let go" : "")
  }

  /// A holder in words, with the number of the operation that made a pin.
  public func describe(_ holder: Blocker.Holder) -> String {
    switch holder {
    case .pin(let id):
      guard let record = pin(id) else { return "a pin that is gone" }
      return name(holder) + ", since operation \(record.operation)"
    case .temporaryReference(let id):
      guard let taken = temporaryReferences.first(where: { $0.id == id }) else {
        return "a temporary reference that is gone"
      }
      let kind = taken.isIsolation ? "isolation" : "temporary reference"
      let name = taken.holder.hasSuffix(kind) ? "" : " of \(taken.holder)"
      return "\(kind) #\(id)\(name), taken by operation \(taken.operation)"
    case .dropCaches: return "a temporary reference by drop_caches"
    case .reference: return "a reference that nobody has signed for"
    case .lruBatch(let kind): return "the LRU batch \(kind.name)"
    case .isolated: return "somebody who has isolated it"
    case .kernel(let owner): return Self.kernelPage(owner)
    case .kernelUse(let use): return describe(use)
    case .cmaBuffer: return "a buffer of cma_alloc"
    case .cmaPageblock: return "a CMA area, whose pageblocks only cma_alloc may isolate"
    case .hugePool:
      return "the pool of huge pages: those in use move to free ones of the same block, for ever"
    case .gigantic: return "hugetlbfs, with a gigantic page"
    case .reserved: return "nobody: reserved since boot, or a hole"
    case .acrossStart: return "a folio that begins before the range"
    }
  }

  /// Since which operation a holder holds; nil where nobody has noted it.
  public func operation(of holder: Blocker.Holder) -> Int? {
    switch holder {
    case .pin(let id): pin(id)?.operation
    case .temporaryReference(let id): temporaryReference(id)?.operation
    case .kernelUse(.pressure(let id)): pressures.first { $0.id == id }?.operation
    default: nil
    }
  }

  private static func kernelPage(_ owner: UInt8) -> String {
    switch owner {
    case UInt8(ascii: "T"): "the kernel, as a page table"
    case UInt8(ascii: "S"): "the kernel, as a slab page"
    default: "the kernel: neither on an LRU list nor movable"
    }
  }
}
