// Invariant: a block of order k keeps its state and its links at its first frame. Orders of at
// least `pageblockOrder` keep them in the pageblock tables (one entry for 512 frames), lower orders
// in the frame tables, so that a machine of empty pageblocks touches 14 bytes per pageblock and
// none per frame. A frame is the first frame of at most one block, and on at most one list. Blocks of
// all orders may share a list (the LRU's do): a link tells which table the block's own links are in.

/// Per-frame and per-pageblock state of the whole machine, indexed by pfn.
public struct FrameTable: ~Copyable {
  public let pageblockOrder: Int
  /// Frames covered, a multiple of the largest block, so that a buddy is never out of range.
  public let count: Int

  private var frameState: Arena<UInt32>
  private var frameLinks: Arena<Links>
  private var blockState: Arena<UInt32>
  private var blockLinks: Arena<Links>
  private var blockTypes: Arena<UInt8>
  private var blockZones: Arena<UInt8>
  /// Skip hints of compaction, untouched in pageblocks that it has not seen.
  private var blockHints: Arena<UInt8>
  /// What ``expectDenseUse(of:)`` was last asked for.
  private var lastDense = PFNRange(0, 0)
  /// As in ``Machine``: reading methods get the address and not a copy of the table's fields.
  private let passedByAddress: any Sendable = ()

  struct Links: BitwiseCopyable {
    var next: UInt32
    var previous: UInt32
  }

  init(count: Int, geometry: Geometry) throws(MemoryError) {
    let rounded = (count + geometry.maxBlockPages - 1) & ~(geometry.maxBlockPages - 1)
    let blocks = rounded >> geometry.pageblockOrder
    // All tables exist before any is stored: a throw must not leave half a value behind.
    let frameState = try Arena<UInt32>(count: rounded)
    let frameLinks = try Arena<Links>(count: rounded)
    let blockState = try Arena<UInt32>(count: blocks)
    let blockLinks = try Arena<Links>(count: blocks)
    let blockTypes = try Arena<UInt8>(count: blocks)
    let blockZones = try Arena<UInt8>(count: blocks)
    let blockHints = try Arena<UInt8>(count: blocks)
    self.count = rounded
    pageblockOrder = geometry.pageblockOrder
    self.frameState = frameState
    self.frameLinks = frameLinks
    self.blockState = blockState
    self.blockLinks = blockLinks
    self.blockTypes = blockTypes
    self.blockZones = blockZones
    self.blockHints = blockHints
  }

  mutating func assign(from other: borrowing FrameTable, goesOn: () -> Bool) {
    frameState.assign(from: other.frameState, goesOn: goesOn)
    frameLinks.assign(from: other.frameLinks, goesOn: goesOn)
    blockState.assign(from: other.blockState, goesOn: goesOn)
    blockLinks.assign(from: other.blockLinks, goesOn: goesOn)
    blockTypes.assign(from: other.blockTypes, goesOn: goesOn)
    blockZones.assign(from: other.blockZones, goesOn: goesOn)
    blockHints.assign(from: other.blockHints, goesOn: goesOn)
  }

  mutating func note(in journal: Journal?) {
    frameState.note(in: journal)
    frameLinks.note(in: journal)
    blockState.note(in: journal)
    blockLinks.note(in: journal)
    blockTypes.note(in: journal)
    blockZones.note(in: journal)
    blockHints.note(in: journal)
  }

  func readTables(_ reader: inout some TableReader) throws {
    try reader.read("frame states", frameState, used: count)
    try reader.read("frame links", frameLinks, used: count)
    try reader.read("block states", blockState, used: blockState.count)
    try reader.read("block links", blockLinks, used: blockLinks.count)
    try reader.read("pageblock types", blockTypes, used: blockTypes.count)
    try reader.read("pageblock zones", blockZones, used: blockZones.count)
    try reader.read("skip hints", blockHints, used: blockHints.count)
  }

  mutating func writeTables(_ writer: inout some TableWriter) throws {
    try writer.write("frame states", &frameState)
    try writer.write("frame links", &frameLinks)
    try writer.write("block states", &blockState)
    try writer.write("block links", &blockLinks)
    try writer.write("pageblock types", &blockTypes)
    try writer.write("pageblock zones", &blockZones)
    try writer.write("skip hints", &blockHints)
  }

  public var pageblockCount: Int { blockTypes.count }

  /// Whether both tables hold the same, links included.
  func isEqual(to other: borrowing FrameTable) -> Bool {
    frameState.isEqual(to: other.frameState) && frameLinks.isEqual(to: other.frameLinks)
      && blockState.isEqual(to: other.blockState) && blockLinks.isEqual(to: other.blockLinks)
      && blockTypes.isEqual(to: other.blockTypes) && blockZones.isEqual(to: other.blockZones)
      && blockHints.isEqual(to: other.blockHints)
  }

  /// Prepares for most frames of `range` becoming single pages.
  mutating func expectDenseUse(of range: PFNRange) {
    let covered = range.intersection(PFNRange(0, count))
    if lastDense.intersection(covered) == covered { return }
    lastDense = covered
    frameState.expectDenseUse(of: covered.start..<covered.end)
    frameLinks.expectDenseUse(of: covered.start..<covered.end)
  }

  // MARK: Block heads

  /// The state of the block that starts at `pfn`; `.none` when no block starts there.
  @inline(__always)
  public func head(_ pfn: PFN) -> FrameState {
    if pfn.isAligned(toOrder: pageblockOrder) {
      let state = FrameState(rawValue: blockState[pfn.index >> pageblockOrder])
      if state.rawValue != 0 { return state }
    }
    return FrameState(rawValue: frameState[pfn.index])
  }

  @inline(__always)
  mutating func setHead(_ pfn: PFN, _ state: FrameState) {
    if state.order >= pageblockOrder {
      blockState[pfn.index >> pageblockOrder] = state.rawValue
    } else {
      frameState[pfn.index] = state.rawValue
    }
  }

  @inline(__always)
  mutating func clearHead(_ pfn: PFN, order: Int) {
    if order >= pageblockOrder {
      blockState[pfn.index >> pageblockOrder] = 0
    } else {
      frameState[pfn.index] = 0
    }
  }

  /// Whether `pfn` starts a free block of exactly `order` (rule A3.4, the zone apart).
  func isFree(_ pfn: PFN, order: Int) -> Bool {
    let wanted = FrameState(.free, order: order).rawValue
    // Kind and order alone: the type of the list does not matter here.
    if order >= pageblockOrder {
      return blockState[pfn.index >> pageblockOrder] & 0xFF == wanted
    }
    return frameState[pfn.index] & 0xFF == wanted
  }

  // MARK: Pageblocks

  @inline(__always)
  public func migrateType(_ pfn: PFN) -> MigrateType {
    // Only this file writes the table, and only raw values of the enum.
    MigrateType(rawValue: blockTypes[pfn.index >> pageblockOrder] & 7)!
  }

  mutating func setMigrateType(_ pfn: PFN, _ type: MigrateType) {
    let block = pfn.index >> pageblockOrder
    blockTypes[block] = blockTypes[block] & Self.inMovableZone | type.rawValue
  }

  /// Bit 3 of a pageblock's type: it lies in a ZONE_MOVABLE.
  ///
  /// Kept beside the type, so that the test of a long-term pin costs one byte.
  private static let inMovableZone: UInt8 = 8

  /// The type of the pageblock of `pfn`, plus 8 in a ZONE_MOVABLE: an index into the bits of
  /// ``Machine/refusals(_:)``.
  func pinClass(_ pfn: PFN) -> UInt8 { blockTypes[pfn.index >> pageblockOrder] }

  /// Every pageblock's class, see ``pinClass(_:)``.
  mutating func pinClasses() -> ArenaView<UInt8> { blockTypes.view() }

  mutating func fillMigrateTypes(_ blocks: Range<Int>, _ type: MigrateType) {
    for block in blocks { setMigrateType(PFN(block << pageblockOrder), type) }
  }

  /// The zone that the pageblock of `pfn` belongs to, or nil outside of all zones.
  @inline(__always)
  public func zone(of pfn: PFN) -> Int? {
    guard pfn.index < count else { return nil }
    let zone = blockZones[pfn.index >> pageblockOrder]
    return zone == 0 ? nil : Int(zone) - 1
  }

  /// - Parameter zone: nil for pageblocks that are offline.
  mutating func assignZone(_ zone: Int?, blocks: Range<Int>) {
    blockZones.fill(blocks, with: UInt8((zone ?? -1) + 1))
    let isMovable = zone.map { $0 % ZoneIndex.count == ZoneIndex.movable.rawValue } ?? false
    for block in blocks {
      let type = blockTypes[block] & 7
      blockTypes[block] = isMovable ? type | Self.inMovableZone : type
    }
  }

  @inline(__always)
  func sameZone(_ one: PFN, _ other: PFN) -> Bool {
    blockZones[one.index >> pageblockOrder] == blockZones[other.index >> pageblockOrder]
  }

  /// Whether compaction found nothing in the pageblock of `pfn` when it last looked.
  ///
  /// Kernel: `get_pageblock_skip()`.
  public func skipHint(_ pfn: PFN) -> Bool { blockHints[pfn.index >> pageblockOrder] != 0 }

  mutating func setSkipHint(_ pfn: PFN, _ skip: Bool) {
    blockHints[pfn.index >> pageblockOrder] = skip ? 1 : 0
  }

  // MARK: Lists

  /// The first of the links that name a pageblock; frames have smaller ones (2³¹ and some).
  private static let firstBlockLink: UInt32 = 0xC000_0000

  /// What other links and a list's ends say for a block.
  @inline(__always)
  private func link(_ pfn: PFN, order: Int) -> UInt32 {
    order >= pageblockOrder
      ? Self.firstBlockLink + pfn.rawValue >> UInt32(pageblockOrder) : pfn.rawValue + 1
  }

  @inline(__always)
  private func block(_ link: UInt32) -> PFN? {
    if link == 0 { return nil }
    return PFN(
      link >= Self.firstBlockLink
        ? (link - Self.firstBlockLink) << UInt32(pageblockOrder) : link - 1)
  }

  @inline(__always)
  private func links(_ link: UInt32) -> Links {
    link >= Self.firstBlockLink
      ? blockLinks[Int(link - Self.firstBlockLink)] : frameLinks[Int(link - 1)]
  }

  @inline(__always)
  private mutating func setLinks(_ link: UInt32, _ links: Links) {
    if link >= Self.firstBlockLink {
      blockLinks[Int(link - Self.firstBlockLink)] = links
    } else {
      frameLinks[Int(link - 1)] = links
    }
  }

  /// Lets the block `link`, or the list's head without one, point to `next`.
  private mutating func setNext(_ link: UInt32, _ list: inout FrameList, _ next: UInt32) {
    if link == 0 {
      list.head = next
    } else if link >= Self.firstBlockLink {
      blockLinks[Int(link - Self.firstBlockLink)].next = next
    } else {
      frameLinks[Int(link - 1)].next = next
    }
  }

  /// Lets the block `link`, or the list's tail without one, point back to `previous`.
  private mutating func setPrevious(_ link: UInt32, _ list: inout FrameList, _ previous: UInt32) {
    if link == 0 {
      list.tail = previous
    } else if link >= Self.firstBlockLink {
      blockLinks[Int(link - Self.firstBlockLink)].previous = previous
    } else {
      frameLinks[Int(link - 1)].previous = previous
    }
  }

  mutating func pushHead(_ list: inout FrameList, _ pfn: PFN, order: Int) {
    let link = link(pfn, order: order)
    setLinks(link, Links(next: list.head, previous: 0))
    setPrevious(list.head, &list, link)
    list.head = link
    list.count += 1
  }

  mutating func pushTail(_ list: inout FrameList, _ pfn: PFN, order: Int) {
    let link = link(pfn, order: order)
    setLinks(link, Links(next: 0, previous: list.tail))
    setNext(list.tail, &list, link)
    list.tail = link
    list.count += 1
  }

  mutating func remove(_ list: inout FrameList, _ pfn: PFN, order: Int) {
    let link = link(pfn, order: order)
    let here = links(link)
    setNext(here.previous, &list, here.next)
    setPrevious(here.next, &list, here.previous)
    setLinks(link, Links(next: 0, previous: 0))
    list.count -= 1
  }

  /// The block that would be taken next.
  public func first(_ list: FrameList) -> PFN? { block(list.head) }

  /// The block that would be taken last.
  public func last(_ list: FrameList) -> PFN? { block(list.tail) }

  /// The block behind a block of `order` on its list.
  public func next(_ pfn: PFN, order: Int) -> PFN? { block(links(link(pfn, order: order)).next) }

  /// The block before `pfn` on its list.
  func previous(_ pfn: PFN, order: Int) -> PFN? {
    block(links(link(pfn, order: order)).previous)
  }

  /// Turns a list so that `pfn`, which is on it, comes first: what was before it follows behind the
  /// tail, in the same order.
  ///
  /// Kernel: `move_freelist_head()`.
  mutating func rotate(_ list: inout FrameList, before pfn: PFN, order: Int) {
    let link = link(pfn, order: order)
    let last = links(link).previous
    if last == 0 { return }
    let (head, tail) = (list.head, list.tail)
    setNext(tail, &list, head)
    setPrevious(head, &list, tail)
    setPrevious(link, &list, 0)
    setNext(last, &list, 0)
    list.head = link
    list.tail = last
  }

  /// Turns a list so that `pfn`, which is on it, comes last.
  ///
  /// Kernel: `move_freelist_tail()`.
  mutating func rotate(_ list: inout FrameList, behind pfn: PFN, order: Int) {
    if let next = next(pfn, order: order) { rotate(&list, before: next, order: order) }
  }

  /// The blocks of a list, head to tail.
  public func blocks(_ list: FrameList) -> [PFN] {
    var result: [PFN] = []
    result.reserveCapacity(Int(list.count))
    var next = list.head
    // Bounded by the count, so that a broken list is reported and does not hang the check.
    while let pfn = block(next), result.count <= Int(list.count) {
      result.append(pfn)
      next = links(next).next
    }
    return result
  }

  // MARK: Runs of single pages

  /// Gives all frames of a run the same state, each as a block of order 0.
  mutating func setHeads(_ run: PFNRun, _ state: FrameState) {
    let range = run.range
    frameState.fill(range.start..<range.end, with: state.rawValue)
  }

  /// How many single pages at the beginning of `run` are handed out and of no concern to anybody.
  ///
  /// They are on no LRU list and have no flags; whose they are does not matter.
  func allocatedPrefix(of run: PFNRun) -> Int {
    let wanted = FrameState(.allocated, order: 0).rawValue
    return frameState.countPassing(from: run.first.index, step: run.step, limit: run.count) {
      state, _ in state & 0xFF00_FFFF == wanted
    }
  }

  /// Puts the pages of a run behind a list, the first one first.
  mutating func pushTail(_ list: inout FrameList, run: PFNRun) {
    if run.isEmpty { return }
    chain(run.range, ascending: !run.isDescending)
    let (first, last) = (run.first.rawValue, run.last.rawValue)
    frameLinks[Int(first)].previous = list.tail
    frameLinks[Int(last)].next = 0
    setNext(list.tail, &list, first + 1)
    list.tail = last + 1
    list.count += UInt32(run.count)
  }

  /// Puts the pages of a run before a list, one after the other: the last one ends up first.
  mutating func pushHead(_ list: inout FrameList, run: PFNRun) {
    if run.isEmpty { return }
    chain(run.range, ascending: run.isDescending)
    let (first, last) = (run.first.rawValue, run.last.rawValue)
    frameLinks[Int(first)].next = list.head
    frameLinks[Int(last)].previous = 0
    setPrevious(list.head, &list, first + 1)
    list.head = last + 1
    list.count += UInt32(run.count)
  }

  /// The states of frames, for a hot loop over blocks of orders below a pageblock's.
  mutating func stateView() -> ArenaView<UInt32> { frameState.view() }

  /// The states of blocks of at least a pageblock's order.
  mutating func blockStateView() -> ArenaView<UInt32> { blockState.view() }

  /// Takes the pages of a run off a list, wherever on it they are.
  mutating func remove(_ list: inout FrameList, run: PFNRun) {
    var left = run
    while !left.isEmpty {
      let start = left.first.index
      // Neighbours on the list go together: pages that came in order follow each other on it, in
      // either direction.
      let step = left.step
      let links = frameLinks[start]
      let neighbour = UInt32(start + step + 1)
      let isForward = links.next == neighbour
      var count = 1
      if left.count > 1, isForward || links.previous == neighbour {
        count += frameLinks.countPassing(from: start, step: step, limit: left.count - 1) {
          links, index in
          (isForward ? links.next : links.previous) == UInt32(index + step + 1)
        }
      }
      let last = frameLinks[start + (count - 1) * step]
      let before = isForward ? links.previous : last.previous
      let after = isForward ? last.next : links.next
      setNext(before, &list, after)
      setPrevious(after, &list, before)
      list.count -= UInt32(count)
      clearLinks(left.prefix(count))
      left = left.dropFirst(count)
    }
  }

  /// How many pages at the beginning of `run` have the same state, bit for bit, as its first one.
  func samePrefix(of run: PFNRun) -> Int {
    let wanted = frameState[run.first.index]
    return frameState.countPassing(from: run.first.index, step: run.step, limit: run.count) {
      state, _ in state == wanted
    }
  }

  /// The pages at the beginning of `run` that lie in the zone of its first one.
  func zonePrefix(of run: PFNRun) -> PFNRun {
    let zone = blockZones[run.first.index >> pageblockOrder]
    var run = run
    // Zones change at the border of a pageblock.
    while blockZones[run.last.index >> pageblockOrder] != zone {
      let inside = run.last.index & (1 << pageblockOrder - 1)
      run = run.prefix(run.count - (run.isDescending ? 1 << pageblockOrder - inside : inside + 1))
    }
    return run
  }

  /// Links frames to each other in one direction; both ends are left to the caller.
  private mutating func chain(_ range: PFNRange, ascending: Bool) {
    // The link of a frame is its number plus one.
    if ascending {
      frameLinks.update(range.start..<range.end) {
        Links(next: UInt32(truncatingIfNeeded: $0) &+ 2, previous: UInt32(truncatingIfNeeded: $0))
      }
    } else {
      frameLinks.update(range.start..<range.end) {
        Links(next: UInt32(truncatingIfNeeded: $0), previous: UInt32(truncatingIfNeeded: $0) &+ 2)
      }
    }
  }

  /// Takes pages from the head of a list that is not empty for as long as they make up a run, at
  /// most `limit`.
  mutating func takeHead(_ list: inout FrameList, upTo limit: Int) -> PFNRun {
    let run = run(from: list.head, upTo: limit) { $0.next }
    let next = frameLinks[run.last.index].next
    clearLinks(run)
    list.head = next
    setPrevious(next, &list, 0)
    list.count -= UInt32(run.count)
    return run
  }

  /// Takes pages from the tail of a list that is not empty for as long as they make up a run, at
  /// most `limit`.
  mutating func takeTail(_ list: inout FrameList, upTo limit: Int) -> PFNRun {
    let run = run(from: list.tail, upTo: limit) { $0.previous }
    let previous = frameLinks[run.last.index].previous
    clearLinks(run)
    list.tail = previous
    setNext(previous, &list, 0)
    list.count -= UInt32(run.count)
    return run
  }

  @inline(__always)
  private func run(from link: UInt32, upTo limit: Int, _ follow: (Links) -> UInt32) -> PFNRun {
    let start = Int(link) - 1
    let second = Int(follow(frameLinks[start]))
    let descends = second == start && second != 0
    if limit <= 1 || second != start + 2 && !descends { return PFNRun(PFN(start), count: 1) }
    let step = descends ? -1 : 1
    // Link 0 is the end of the list and no frame.
    let more = frameLinks.countPassing(from: start, step: step, limit: limit - 1) { links, index in
      let next = Int(follow(links))
      return next == index + step + 1 && next != 0
    }
    return PFNRun(PFN(start), count: more + 1, descending: descends)
  }

  private mutating func clearLinks(_ run: PFNRun) {
    let range = run.range
    frameLinks.fill(range.start..<range.end, with: Links(next: 0, previous: 0))
  }
}

extension FrameTable {
  /// Whether a link names a block of these tables, or none.
  func isLink(_ link: UInt32) -> Bool {
    link >= Self.firstBlockLink
      ? Int(link - Self.firstBlockLink) < pageblockCount : Int(link) <= count
  }

  /// See ``Machine/firstImpossible(_:)``.
  func isPossible(_ table: String, _ index: Int, largest: Int) -> Bool {
    switch table {
    case "frame states":
      let state = FrameState(rawValue: frameState[index])
      return isPossible(state, at: index, 0..<pageblockOrder)
    case "block states":
      let state = FrameState(rawValue: blockState[index])
      return isPossible(state, at: index << pageblockOrder, pageblockOrder..<largest + 1)
    case "frame links":
      return isLink(frameLinks[index].next) && isLink(frameLinks[index].previous)
    case "block links":
      return isLink(blockLinks[index].next) && isLink(blockLinks[index].previous)
    case "pageblock types":
      return MigrateType(rawValue: blockTypes[index] & 7) != nil
        && blockTypes[index] & ~(7 | Self.inMovableZone) == 0
    default: return true
    }
  }

  private func isPossible(_ state: FrameState, at pfn: Int, _ orders: Range<Int>) -> Bool {
    if state.rawValue == 0 { return true }
    return FrameState.Kind(rawValue: UInt8(state.rawValue & 7)) != nil && state.kind != .none
      && orders.contains(state.order) && pfn % (1 << state.order) == 0
      && pfn + 1 << state.order <= count
  }
}
