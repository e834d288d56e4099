// Invariant: every folio of `group` is referenced once by this operation, and those from `next` on are
// locked by it (rules P9.30, P9.31).

public import MemoryModel

/// Drops what is cached and clean, as a write to /proc/sys/vm/drop_caches does.
///
/// Kernel: `drop_caches_sysctl_handler()`, `drop_pagecache_sb()`, `mapping_try_invalidate()`.
public struct DropCaches: ExplorableOperation {
  public struct Outcome: Sendable, Hashable {
    /// Pages that left their caches.
    public var dropped = 0
    /// Pages that stayed: dirty, mapped, pinned or referenced otherwise.
    public var kept = 0

    public init() {}
  }

  public private(set) var outcome: Outcome?
  private let dropsPages: Bool
  private let dropsSlab: Bool
  private var result = Outcome()
  private var hasBegun = false
  private var file = 0
  private var page = 0
  private var group: [Folio] = []
  /// The records of its references to the folios of the group, so that `why` can name it.
  private var held: [Int] = []
  private var next = 0

  /// Kernel: `PAGEVEC_SIZE`.
  static let groupSize = 31
  static let sliceGroups = 1024

  /// - Parameter value: Bit 0 drops the page cache, bit 1 the caches of the slab allocator, of which the
  ///   model has none.
  public init(_ value: Int) {
    dropsPages = value & 1 != 0
    dropsSlab = value & 2 != 0
  }

  public mutating func advance(_ machine: inout Machine, _ pace: Pace) -> Progress {
    if outcome != nil { return .finished }
    for _ in 0..<(pace == .slice ? Self.sliceGroups * (Self.groupSize + 2) : 1) {
      step(&machine)
      if outcome != nil { return .finished }
    }
    return .running
  }

  private mutating func step(_ machine: inout Machine) {
    if !hasBegun {
      hasBegun = true
      if dropsPages { machine.drainAllLRU() } else { file = machine.files.count }
    } else if next < group.count {
      dropNext(&machine)
    } else if !group.isEmpty {
      release(&machine)
      next = 0
    } else if file < machine.files.count {
      collect(&machine)
    } else {
      if dropsPages { machine.count(.dropPageCache, 1) }
      if dropsSlab { machine.count(.dropSlab, 1) }
      outcome = result
    }
  }

  /// Takes the next folios of a file, and passes over those that are locked or being written.
  ///
  /// Kernel: `find_lock_entries()`.
  private mutating func collect(_ machine: inout Machine) {
    let kind = machine.files[file].kind
    var found: [Folio] = []
    var end = page
    if kind == .regular || kind == .shmem {
      machine.forEachCached(file, from: page) { machine, folio, start in
        end = start + folio.pages
        if machine.frames.head(folio.head).flags.isDisjoint(with: [.locked, .writeback]) {
          found.append(folio)
        }
        return found.count < Self.groupSize
      }
    }
    for folio in found {
      if let id = machine.takeTemporaryReference(folio.head, holder: "drop_caches") {
        held.append(id)
      }
      machine.setFlags(folio.head, insert: .locked)
    }
    page = end
    group = found
    if found.isEmpty {
      file += 1
      page = 0
    }
  }

  private mutating func release(_ machine: inout Machine) {
    for id in held { machine.putTemporaryReference(id) }
    held = []
    group = []
  }

  private mutating func dropNext(_ machine: inout Machine) {
    let folio = group[next]
    next += 1
    machine.setFlags(folio.head, remove: .locked)
    if machine.evictFromCache(folio) {
      result.dropped += folio.pages
    } else {
      result.kept += folio.pages
      machine.deactivateFile(folio)
    }
  }

  public func nextStep(_ machine: borrowing Machine) -> Step {
    if !hasBegun { return Step("d1", "lru_add_drain_all", "empty all LRU batches") }
    if next < group.count {
      return Step(
        "d3", "mapping_evict_folio", "unlock the folio at \(group[next].head), dropped or refused")
    }
    if !group.isEmpty {
      return Step("d4", "folio_batch_release", "give back the references of \(group.count) folios")
    }
    guard file < machine.files.count else {
      return Step("d5", "drop_caches_sysctl_handler", "return")
    }
    return Step(
      "d2", "find_lock_entries",
      "reference and lock the next folios of \(machine.files[file].name) from page \(page) on")
  }

  public mutating func interrupt(_ machine: inout Machine) {
    for folio in group[next...] { machine.setFlags(folio.head, remove: .locked) }
    release(&machine)
    outcome = result
  }
}
