// Invariant: the counts of a folio are kept once. Order 0: in its frame's record. Orders 1 to 8: in
// the head's record, with the pin count and the sum of map counts in the second page's record.
// Orders of at least a pageblock: in the pageblock table. A frame's own record also keeps how many
// page-table entries map just this page of a large folio. Blocks that are no folios (kernel
// memory) have no record: they count as one reference.

/// The counts of a frame, 16 bytes; the kernel's `struct page` has 64.
public struct FrameCounts: BitwiseCopyable, Sendable, Equatable {
  /// Of the folio whose head this frame is; pins of an order-0 folio count 1024 each (rule P1.3).
  var references: UInt32 = 0
  /// Page-table entries that map this page.
  var mappings: UInt32 = 0
  /// What the folio belongs to; in the second page of a folio of order 1 to 8, its pin count.
  var mapping: UInt32 = 0
  /// The folio's first page in units of the mapping; in such a second page, the sum of `mappings`.
  var index: UInt32 = 0
}

/// The counts of a folio of at least a pageblock, kept for its first pageblock.
///
/// The loops of ``PinLoop`` read pairs of fields as one number: references and pins at byte 0, mapping
/// and index at byte 16.
package struct LargeFolioCounts: BitwiseCopyable {
  var references: UInt32 = 0
  var pins: UInt32 = 0
  /// PMD or PUD leaves that map it whole (`entire_mapcount`).
  var entireMappings: UInt32 = 0
  /// The sum of its pages' `mappings`.
  var pageMappings: UInt32 = 0
  var mapping: UInt32 = 0
  var index: UInt32 = 0
}

/// Reference, map and pin counts of all folios, and what they belong to.
public struct FolioTable: ~Copyable {
  let pageblockOrder: Int
  package var frames: Arena<FrameCounts>
  package var large: Arena<LargeFolioCounts>

  /// GUP_PIN_COUNTING_BIAS.
  public static let pinBias = 1024
  /// The top bit of an order-0 folio's `mappings`: it was accessed (PG_referenced).
  ///
  /// It stands here, and not among the flags of the frame, because a walk sets it and has this record
  /// at hand.
  static let referencedBit: UInt32 = 0x8000_0000
  static let mappingsMask: UInt32 = 0x7FFF_FFFF

  init(frameCount: Int, pageblockOrder: Int) throws(MemoryError) {
    let frames = try Arena<FrameCounts>(count: frameCount)
    let large = try Arena<LargeFolioCounts>(count: frameCount >> pageblockOrder)
    self.pageblockOrder = pageblockOrder
    self.frames = frames
    self.large = large
  }

  mutating func assign(from other: borrowing FolioTable, goesOn: () -> Bool) {
    frames.assign(from: other.frames, goesOn: goesOn)
    large.assign(from: other.large, goesOn: goesOn)
  }

  mutating func note(in journal: Journal?) {
    frames.note(in: journal)
    large.note(in: journal)
  }

  // MARK: References

  @inline(__always)
  func references(_ folio: Folio) -> Int {
    folio.order >= pageblockOrder
      ? Int(large[folio.head.index >> pageblockOrder].references)
      : Int(frames[folio.head.index].references)
  }

  @inline(__always)
  mutating func addReferences(_ folio: Folio, _ count: Int) {
    if folio.order >= pageblockOrder {
      Self.add(&large[folio.head.index >> pageblockOrder].references, count)
    } else {
      Self.add(&frames[folio.head.index].references, count)
    }
  }

  // MARK: Pins

  /// The exact pin count of a large folio; for order 0, the pins that its references amount to.
  func pins(_ folio: Folio) -> Int {
    if folio.order == 0 { return Int(frames[folio.head.index].references) / Self.pinBias }
    return folio.order >= pageblockOrder
      ? Int(large[folio.head.index >> pageblockOrder].pins)
      : Int(frames[folio.head.index + 1].mapping)
  }

  /// Adds or drops pins together with the references that they are (rule P1.3).
  ///
  /// - Parameter exactPins: Whether folios of this order have a pin count of their own.
  mutating func addPins(_ folio: Folio, _ count: Int, exactPins: Bool) {
    guard exactPins && folio.order > 0 else {
      return addReferences(folio, count * Self.pinBias)
    }
    addReferences(folio, count)
    if folio.order >= pageblockOrder {
      Self.add(&large[folio.head.index >> pageblockOrder].pins, count)
    } else {
      Self.add(&frames[folio.head.index + 1].mapping, count)
    }
  }

  // MARK: Mappings

  /// PMD or PUD leaves, plus the page-table entries of all of its pages (rule P1.2).
  @inline(__always)
  func mappings(_ folio: Folio) -> Int {
    if folio.order == 0 { return Int(frames[folio.head.index].mappings & Self.mappingsMask) }
    if folio.order >= pageblockOrder {
      let counts = large[folio.head.index >> pageblockOrder]
      return Int(counts.entireMappings) + Int(counts.pageMappings)
    }
    return Int(frames[folio.head.index + 1].index)
  }

  @inline(__always)
  func entireMappings(_ folio: Folio) -> Int {
    folio.order >= pageblockOrder
      ? Int(large[folio.head.index >> pageblockOrder].entireMappings) : 0
  }

  @inline(__always)
  mutating func addEntireMapping(_ folio: Folio, _ count: Int) {
    Self.add(&large[folio.head.index >> pageblockOrder].entireMappings, count)
  }

  /// Adds or drops the page-table entries that map one page of a folio.
  mutating func addPageMapping(_ page: PFN, of folio: Folio, _ count: Int) {
    Self.add(&frames[page.index].mappings, count)
    if folio.order >= pageblockOrder {
      Self.add(&large[folio.head.index >> pageblockOrder].pageMappings, count)
    } else if folio.order > 0 {
      Self.add(&frames[folio.head.index + 1].index, count)
    }
  }

  /// How many page-table entries map just this page.
  func pageMappings(_ page: PFN) -> Int { Int(frames[page.index].mappings & Self.mappingsMask) }

  /// Writes all counts of an order-0 folio that has just been mapped once.
  mutating func startMapped(_ pfn: PFN, _ mapping: MappingID, index: Int, references: Int) {
    frames[pfn.index] = FrameCounts(
      references: UInt32(references), mappings: 1, mapping: mapping.rawValue, index: UInt32(index))
  }

  /// The same for the pages of a run, whose indices ascend in its order.
  ///
  /// - Parameter accessed: ``referencedBit``, or 0.
  mutating func startMapped(
    _ run: PFNRun, _ mapping: MappingID, index: Int, references: Int, accessed: UInt32
  ) {
    let range = run.range
    let first = run.first.index
    let step = run.step
    frames.update(range.start..<range.end) {
      FrameCounts(
        references: UInt32(truncatingIfNeeded: references), mappings: 1 | accessed,
        mapping: mapping.rawValue,
        index: UInt32(truncatingIfNeeded: index &+ ($0 &- first) &* step))
    }
  }

  /// How many pages at the beginning of a run have no record of references.
  func unreferencedPrefix(of run: PFNRun) -> Int {
    frames.countPassing(from: run.first.index, step: run.step, limit: run.count) { counts, _ in
      counts.references == 0
    }
  }

  /// How many folios of order 0 at the beginning of a run have one reference left.
  func lastReferencePrefix(of run: PFNRun) -> Int {
    frames.countPassing(from: run.first.index, step: run.step, limit: run.count) { counts, _ in
      counts.references == 1
    }
  }

  /// Drops a reference of each folio of order 0, none of which is the last.
  ///
  /// - Parameter forgetsAccess: Clears ``referencedBit``, too.
  mutating func dropReferences(_ run: PFNRun, forgetsAccess: Bool) {
    let range = run.range
    frames.noteWrite(of: range.start..<range.end)
    let part = frames.view().slice(range.start, range.count)
    let kept = forgetsAccess ? Self.mappingsMask : .max
    for index in 0..<part.count {
      var counts = part[index]
      counts.references &-= 1
      counts.mappings &= kept
      part[index] = counts
    }
  }

  /// Drops a reference of each folio of order 0 at the beginning of a run that has others.
  ///
  /// - Returns: How many.
  mutating func dropReference(_ run: PFNRun) -> Int {
    let shared = frames.countPassing(from: run.first.index, step: run.step, limit: run.count) {
      counts, _ in counts.references > 1
    }
    if shared == 0 { return 0 }
    let range = run.prefix(shared).range
    frames.noteWrite(of: range.start..<range.end)
    let view = frames.view()
    for index in range.start..<range.end { view[index].references &-= 1 }
    return shared
  }

  /// Adds a reference to each folio of order 0.
  mutating func addReference(_ run: PFNRun) {
    let range = run.range
    frames.noteWrite(of: range.start..<range.end)
    let part = frames.view().slice(range.start, range.count)
    for index in 0..<part.count {
      var counts = part[index]
      counts.references &+= 1
      part[index] = counts
    }
  }

  /// Takes the only mapping of each folio of order 0 away.
  mutating func clearMappings(_ run: PFNRun) {
    let range = run.range
    frames.noteWrite(of: range.start..<range.end)
    let view = frames.view()
    for index in range.start..<range.end {
      var counts = view[index]
      counts.mappings &= Self.referencedBit
      view[index] = counts
    }
  }

  /// Forgets the counts of folios of order 0.
  mutating func clear(_ run: PFNRun) {
    let range = run.range
    frames.fill(range.start..<range.end, with: FrameCounts())
  }

  // MARK: What it belongs to

  func owner(_ folio: Folio) -> (mapping: MappingID, index: Int) {
    if folio.order >= pageblockOrder {
      let counts = large[folio.head.index >> pageblockOrder]
      return (MappingID(rawValue: counts.mapping), Int(counts.index))
    }
    let counts = frames[folio.head.index]
    return (MappingID(rawValue: counts.mapping), Int(counts.index))
  }

  mutating func setOwner(_ folio: Folio, _ mapping: MappingID, index: Int) {
    if folio.order >= pageblockOrder {
      large[folio.head.index >> pageblockOrder].mapping = mapping.rawValue
      large[folio.head.index >> pageblockOrder].index = UInt32(index)
    } else {
      frames[folio.head.index].mapping = mapping.rawValue
      frames[folio.head.index].index = UInt32(index)
    }
  }

  /// Forgets the counts of a folio that is freed or broken up.
  mutating func clear(_ folio: Folio) {
    if folio.order >= pageblockOrder {
      large[folio.head.index >> pageblockOrder] = LargeFolioCounts()
    } else {
      frames[folio.head.index] = FrameCounts()
      if folio.order > 0 { frames[folio.head.index + 1] = FrameCounts() }
    }
  }

  private static func add(_ field: inout UInt32, _ count: Int) {
    field = UInt32(Int(field) + count)
  }
}
