// Invariant: while the call is under way the zone's per-CPU lists are empty and hold nothing that is
// freed, and the block's free pages are on Isolate lists.

/// Taking one memory block offline, one atomic step at a time (rules P6.1 to P6.8, P10.5).
///
/// A page that cannot move makes the call go round for ever: only a signal ends it (P6.3).
public struct MemoryOffline: Sendable {
  public typealias Progress = ContiguousAllocation.Progress

  public enum Phase: Sendable, Equatable {
    /// o1: per-CPU lists and LRU batches off.
    case disable
    /// o2, one step a pageblock.
    case isolateFirst, isolateLast
    case isolateMiddle(Int)
    /// o3 to o7: a signal? a page that can move?
    case migrate
    /// o8.
    case test
    case remove
    /// After a failure: the pageblock at this frame comes next.
    case restore(Int)
    case finished
  }

  public let range: PFNRange
  /// Any signal, not only a fatal one, ends the call with EINTR.
  public var hasSignal = false
  /// How often pages were looked for.
  public private(set) var rounds = 0
  public private(set) var phase = Phase.disable
  private let zone: Int
  private var refusal: Refusal?

  init(_ range: PFNRange, zone: Int) {
    self.range = range
    self.zone = zone
  }

  /// Does one atomic step.
  public mutating func advance(_ machine: inout Machine) -> Progress {
    let mode = IsolationMode.memoryOffline
    let size = machine.geometry.pageblockPages
    switch phase {
    case .disable:
      machine.operationsInProgress += 1
      machine.disablePerCPULists(zone)
      machine.drainAllLRU()
      phase = .isolateFirst
    case .isolateFirst:
      refusal = machine.isolateFirst(range, mode)
      phase = .isolateLast
      if refusal != nil { return finish(&machine) }
    case .isolateLast:
      refusal = machine.isolateLast(range, mode)
      phase = .isolateMiddle(range.start + size)
      if refusal != nil { return finish(&machine) }
    case .isolateMiddle(let at):
      if at >= range.end - size {
        phase = .migrate
        break
      }
      refusal = machine.isolateMiddle(at, of: range, mode)
      phase = .isolateMiddle(at + size)
      if refusal != nil { return finish(&machine) }
    case .migrate:
      rounds += 1
      if hasSignal {
        refusal = Refusal(.EINTR, "a signal ended the attempt", rule: "P6.2")
        phase = .restore(range.start)
      } else if !migrate(&machine) {
        phase = .test
      }
    case .test:
      phase = machine.firstNotIsolated(in: range) == nil ? .remove : .migrate
    case .remove:
      machine.removeOffline(range, from: zone)
      phase = .finished
      machine.operationsInProgress -= 1
      return .finished(nil)
    case .restore(let at):
      machine.unsetIsolate(PFN(at), mode.restoredType)
      phase = .restore(at + size)
      if at + size >= range.end { return finish(&machine) }
    case .finished: return .finished(refusal)
    }
    return .running
  }

  /// Runs to the end; a signal comes after so many rounds without one.
  public mutating func run(_ machine: inout Machine, rounds limit: Int) -> Refusal? {
    while true {
      if rounds >= limit { hasSignal = true }
      if case .finished(let refusal) = advance(&machine) { return refusal }
    }
  }

  /// One round of getting pages out of the block.
  ///
  /// Nothing can be migrated yet, so pages in use stay.
  /// Kernel: `scan_movable_pages()`, `do_migrate_range()`, mm/memory_hotplug.c.
  ///
  /// - Returns: Whether a page was found that can move.
  private func migrate(_ machine: inout Machine) -> Bool { false }

  private mutating func finish(_ machine: inout Machine) -> Progress {
    machine.enablePerCPULists(zone)
    machine.operationsInProgress -= 1
    phase = .finished
    return .finished(refusal)
  }
}

extension Machine {
  /// A call of `offline_pages()` for the memory block at `start` that has not begun.
  ///
  /// - Returns: Nil with EINVAL when the block has holes or spans zones (rule P6.1); such a block
  ///   never goes offline.
  /// - Throws: `.misuse` when no block starts there, or it is offline already.
  public func memoryOffline(
    at start: PFN
  ) throws(MemoryError) -> (call: MemoryOffline?, refusal: Refusal?) {
    let size = geometry.memoryBlockPages
    guard start.index % size == 0, start.index < frames.count else {
      throw MemoryError(
        .misuse, "no memory block starts at \(start); they start at multiples of 0x\(hex(size))")
    }
    let range = PFNRange(start.index, start.index + size)
    guard !offlineMemory.contains(range) else {
      throw MemoryError(.misuse, "the memory block at \(start) is offline already; online it first")
    }
    guard memory.pages(in: range) == size else {
      return (nil, Refusal(.EINVAL, "the memory block at \(start) has holes", rule: "P6.1"))
    }
    guard let zone = frames.zone(of: start),
      zoneTable[zone].range.intersection(range) == range,
      frames.zone(of: PFN(range.end - 1)) == zone
    else {
      return (nil, Refusal(.EINVAL, "the memory block at \(start) spans zones", rule: "P6.1"))
    }
    return (MemoryOffline(range, zone: zone), nil)
  }
}
