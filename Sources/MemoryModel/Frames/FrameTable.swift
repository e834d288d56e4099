// Invariant: a block of order k keeps its state and its links at its first frame. Orders of at
// least `pageblockOrder` keep them in the pageblock tables (one entry for 512 frames), lower orders
// in the frame tables, so that a machine of empty pageblocks touches 14 bytes per pageblock and
// none per frame. A frame is the first frame of at most one block, and on at most one list.

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
    self.count = rounded
    pageblockOrder = geometry.pageblockOrder
    self.frameState = frameState
    self.frameLinks = frameLinks
    self.blockState = blockState
    self.blockLinks = blockLinks
    self.blockTypes = blockTypes
    self.blockZones = blockZones
  }

  mutating func assign(from other: borrowing FrameTable) {
    frameState.assign(from: other.frameState)
    frameLinks.assign(from: other.frameLinks)
    blockState.assign(from: other.blockState)
    blockLinks.assign(from: other.blockLinks)
    blockTypes.assign(from: other.blockTypes)
    blockZones.assign(from: other.blockZones)
  }

  public var pageblockCount: Int { blockTypes.count }

  // MARK: Block heads

  /// The state of the block that starts at `pfn`; `.none` when no block starts there.
  public func head(_ pfn: PFN) -> FrameState {
    if pfn.isAligned(toOrder: pageblockOrder) {
      let state = FrameState(rawValue: blockState[pfn.index >> pageblockOrder])
      if state.rawValue != 0 { return state }
    }
    return FrameState(rawValue: frameState[pfn.index])
  }

  mutating func setHead(_ pfn: PFN, _ state: FrameState) {
    if state.order >= pageblockOrder {
      blockState[pfn.index >> pageblockOrder] = state.rawValue
    } else {
      frameState[pfn.index] = state.rawValue
    }
  }

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

  public func migrateType(_ pfn: PFN) -> MigrateType {
    // Only this file writes the table, and only raw values of the enum.
    MigrateType(rawValue: blockTypes[pfn.index >> pageblockOrder])!
  }

  mutating func setMigrateType(_ pfn: PFN, _ type: MigrateType) {
    blockTypes[pfn.index >> pageblockOrder] = type.rawValue
  }

  mutating func fillMigrateTypes(_ blocks: Range<Int>, _ type: MigrateType) {
    blockTypes.fill(blocks, with: type.rawValue)
  }

  /// The zone that the pageblock of `pfn` belongs to, or nil outside of all zones.
  public func zone(of pfn: PFN) -> Int? {
    guard pfn.index < count else { return nil }
    let zone = blockZones[pfn.index >> pageblockOrder]
    return zone == 0 ? nil : Int(zone) - 1
  }

  /// - Parameter zone: nil for pageblocks that are offline.
  mutating func assignZone(_ zone: Int?, blocks: Range<Int>) {
    blockZones.fill(blocks, with: UInt8((zone ?? -1) + 1))
  }

  func sameZone(_ one: PFN, _ other: PFN) -> Bool {
    blockZones[one.index >> pageblockOrder] == blockZones[other.index >> pageblockOrder]
  }

  // MARK: Lists

  mutating func pushHead(_ list: inout FrameList, _ pfn: PFN, order: Int) {
    if order >= pageblockOrder {
      Self.pushHead(&blockLinks, &list, UInt32(pfn.index >> pageblockOrder))
    } else {
      Self.pushHead(&frameLinks, &list, pfn.rawValue)
    }
  }

  mutating func pushTail(_ list: inout FrameList, _ pfn: PFN, order: Int) {
    if order >= pageblockOrder {
      Self.pushTail(&blockLinks, &list, UInt32(pfn.index >> pageblockOrder))
    } else {
      Self.pushTail(&frameLinks, &list, pfn.rawValue)
    }
  }

  mutating func remove(_ list: inout FrameList, _ pfn: PFN, order: Int) {
    if order >= pageblockOrder {
      Self.remove(&blockLinks, &list, UInt32(pfn.index >> pageblockOrder))
    } else {
      Self.remove(&frameLinks, &list, pfn.rawValue)
    }
  }

  /// The block that would be taken next.
  public func first(_ list: FrameList, order: Int) -> PFN? { block(list.head, order: order) }

  /// The block that would be taken last.
  public func last(_ list: FrameList, order: Int) -> PFN? { block(list.tail, order: order) }

  /// The block behind `pfn` on its list.
  public func next(_ pfn: PFN, order: Int) -> PFN? {
    let links =
      order >= pageblockOrder
      ? blockLinks[pfn.index >> pageblockOrder] : frameLinks[pfn.index]
    return block(links.next, order: order)
  }

  /// The blocks of a list, head to tail.
  public func blocks(_ list: FrameList, order: Int) -> [PFN] {
    var result: [PFN] = []
    result.reserveCapacity(Int(list.count))
    var next = first(list, order: order)
    // Bounded by the count, so that a broken list is reported and does not hang the check.
    while let pfn = next, result.count <= Int(list.count) {
      result.append(pfn)
      next = self.next(pfn, order: order)
    }
    return result
  }

  private func block(_ link: UInt32, order: Int) -> PFN? {
    if link == 0 { return nil }
    return PFN(order >= pageblockOrder ? (link - 1) << UInt32(pageblockOrder) : link - 1)
  }

  private static func pushHead(_ links: inout Arena<Links>, _ list: inout FrameList, _ i: UInt32) {
    links[Int(i)] = Links(next: list.head, previous: 0)
    if list.head != 0 { links[Int(list.head - 1)].previous = i + 1 } else { list.tail = i + 1 }
    list.head = i + 1
    list.count += 1
  }

  private static func pushTail(_ links: inout Arena<Links>, _ list: inout FrameList, _ i: UInt32) {
    links[Int(i)] = Links(next: 0, previous: list.tail)
    if list.tail != 0 { links[Int(list.tail - 1)].next = i + 1 } else { list.head = i + 1 }
    list.tail = i + 1
    list.count += 1
  }

  private static func remove(_ links: inout Arena<Links>, _ list: inout FrameList, _ i: UInt32) {
    let here = links[Int(i)]
    if here.previous != 0 {
      links[Int(here.previous - 1)].next = here.next
    } else {
      list.head = here.next
    }
    if here.next != 0 {
      links[Int(here.next - 1)].previous = here.previous
    } else {
      list.tail = here.previous
    }
    links[Int(i)] = Links(next: 0, previous: 0)
    list.count -= 1
  }
}
