// Invariant: an entry stands for one event or for a run of them, so `capacity` entries always hold
// the last `capacity` events. Which of the two an event came in cannot be seen from outside.

/// The last events, oldest first, and how many were lost.
public struct TraceRing: ~Copyable {
  /// Events held: 1.25 MiB of entries, of which only what is used becomes resident.
  public static let capacity = 1 << 16

  struct Entry: BitwiseCopyable {
    /// The first event of the run.
    var event: TraceEvent
    /// How many follow, each for the block of the same order behind the one before; negative when
    /// it is the block in front.
    var more: Int32
  }

  private var entries: Arena<Entry>
  private var entryCount = 0
  /// Events since boot or since the last `clear()`.
  public private(set) var total = 0

  init() throws(MemoryError) { entries = try Arena(count: Self.capacity) }

  mutating func assign(from other: borrowing TraceRing, goesOn: () -> Bool) {
    entries.assign(from: other.entries, goesOn: goesOn)
    extent = other.extent
  }

  func readTables(_ reader: inout some TableReader) throws {
    try reader.read("trace", entries, used: entries.count)
  }

  mutating func writeTables(_ writer: inout some TableWriter) throws {
    try writer.write("trace", &entries)
  }

  mutating func note(in journal: Journal?) { entries.note(in: journal, isStatistic: true) }

  /// What is not in the table.
  struct Extent: Sendable, Codable {
    var entryCount: Int
    var total: Int
  }

  var extent: Extent {
    get { Extent(entryCount: entryCount, total: total) }
    set {
      entryCount = newValue.entryCount
      total = newValue.total
    }
  }

  mutating func append(_ event: TraceEvent) {
    entries[entryCount & (Self.capacity - 1)] = Entry(event: event, more: 0)
    entryCount &+= 1
    total &+= 1
  }

  /// Appends `count` events that differ only in their blocks, which lie one behind the other or,
  /// when they descend, one in front of the other.
  ///
  /// One store, however long the run: a fault handler that fills terabytes writes two events a page.
  mutating func append(_ event: TraceEvent, run count: Int, descending: Bool = false) {
    if count <= 0 { return }
    entries[entryCount & (Self.capacity - 1)] = Entry(
      event: event, more: Int32(descending ? 1 - count : count - 1))
    entryCount &+= 1
    total &+= count
  }

  public mutating func clear() {
    entryCount = 0
    total = 0
  }

  /// Events that were overwritten before anybody read them.
  public var lost: Int { max(0, total - Self.capacity) }

  /// The events still held with a number of at least `first`, in order.
  public func events(from first: Int = 0) -> [TraceEvent] {
    let first = max(first, lost)
    if first >= total { return [] }
    var entry = entryCount
    var number = total
    while number > first {
      entry -= 1
      number -= Int(entries[entry & (Self.capacity - 1)].more.magnitude) + 1
    }
    var result: [TraceEvent] = []
    result.reserveCapacity(total - first)
    while entry < entryCount {
      let run = entries[entry & (Self.capacity - 1)]
      let more = Int(run.more.magnitude)
      for index in max(0, first - number)...more {
        var event = run.event
        let distance = UInt32(index) << UInt32(event.order)
        event.pfn = run.more < 0 ? event.pfn - distance : event.pfn + distance
        result.append(event)
      }
      number += more + 1
      entry += 1
    }
    return result
  }
}

extension TraceRing {
  /// See ``Machine/firstImpossible(_:)``: not every byte is a case of an event's kind.
  func isPossible(_ index: Int) -> Bool {
    guard
      let kind = MemoryLayout<Entry>.offset(of: \.event.kind),
      let failed = MemoryLayout<Entry>.offset(of: \.event.failed),
      TraceEvent.Kind(rawValue: entries.byte(index, kind)) != nil,
      entries.byte(index, failed) <= 1
    else { return false }
    let entry = entries[index]
    // Only runs of pages are more than one event; other events keep other numbers in these fields.
    if entry.more == 0 { return true }
    guard entry.more != .min, entry.event.order < 32 else { return false }
    let last = Int(entry.event.pfn) + Int(entry.more) << Int(entry.event.order)
    return (0...Int(UInt32.max)).contains(last)
  }
}
