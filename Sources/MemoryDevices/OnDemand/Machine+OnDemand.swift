// Invariant: an on-demand region holds no reference. The device's table has an entry for a page only
// while the process shows the same frame there; whatever changes the page tables invalidates it first.

public import MemoryModel
import MemoryOperations

/// What a device found when it reached for pages on demand.
public struct DeviceAccess: Sendable, Hashable {
  /// Pages whose entries were still valid.
  public var hits = 0
  /// Pages that the device asked for the first time.
  public var faults = 0
  /// Pages that were invalidated since, because the kernel moved or took them, and were asked for again.
  public var refaults = 0
  public var refusal: Refusal?

  public init() {}
}

extension Machine {
  /// How many entries of the device's table the kernel has invalidated.
  public func invalidatedOnDemand(attachment: Int, mapping: Int) -> Int {
    guard let device = devices.attachment(attachment),
      let region = device.mappings.first(where: { $0.id == mapping })
    else { return 0 }
    return region.seen.count { page, pfn in
      region.takenBack.contains(page)
        || frame(device.space, page, isWrite: region.isWrite) != pfn
    }
  }

  /// The frame that a process shows at a page, if the access is allowed there.
  fileprivate func frame(_ space: Int, _ page: Int, isWrite: Bool) -> PFN? {
    guard spaces[space].isAlive else { return nil }
    let (entry, _, level) = entry(space, page: page)
    guard entry.isPresent, !isWrite || entry.flags.contains(.write) else { return nil }
    return entry.pfn + page & ((1 << level.order) - 1)
  }
}

/// A device that reaches for pages on demand (rules P7.22, P9.10): those before `page` have been looked at.
///
/// Kernel: `ib_umem_odp_map_dma_and_lock()`, `hmm_range_fault()`.
public struct OnDemandAccess: ExplorableOperation {
  public private(set) var outcome: DeviceAccess?
  public var summary: CallSummary? {
    outcome.map { access in
      access.refusal.map { CallSummary($0) }
        ?? CallSummary(
          "\(access.hits) hits, \(access.faults + access.refaults) faults", key: access)
    }
  }
  private let attachment: Int
  private let mapping: Int
  private let pages: Range<Int>
  private var page: Int
  private var found = DeviceAccess()
  private var fault: FaultOperation?
  /// Faults at this page, each undone by somebody before the entry was read.
  private var tries = 0
  static let tryLimit = 1000

  public init(attachment: Int, mapping: Int, pages: Range<Int>) {
    self.attachment = attachment
    self.mapping = mapping
    self.pages = pages
    page = pages.lowerBound
  }

  public mutating func advance(_ machine: inout Machine, _ pace: Pace) -> Progress {
    if outcome != nil { return .finished }
    guard page < pages.upperBound, let device = machine.devices.attachment(attachment),
      let region = device.mappings.first(where: { $0.id == mapping })
    else {
      outcome = found
      return .finished
    }
    if var current = fault {
      let progress = current.advance(&machine, pace)
      fault = current
      guard progress == .finished else { return progress }
      fault = nil
      if case .refused(let refusal) = current.outcome {
        found.refusal = refusal
        outcome = found
        return .finished
      }
      // The entry is read again: somebody may have taken the page away meanwhile.
      return .running
    }
    let seen = region.seen[page]
    let frame = machine.frame(device.space, page, isWrite: region.isWrite)
    if seen != nil, !region.takenBack.contains(page), seen == frame {
      found.hits += 1
    } else if let frame {
      if seen == nil { found.faults += 1 } else { found.refaults += 1 }
      machine.noteAccess(attachment, mapping, page: page, frame)
    } else if tries < Self.tryLimit {
      tries += 1
      fault = FaultOperation(
        space: device.space, page: page, access: region.isWrite ? .write : .read)
      return .running
    } else {
      // The kernel gives up after a second.
      found.refusal = Refusal(.EBUSY, "the page is taken away again and again", rule: "P7.22")
      outcome = found
      return .finished
    }
    page += 1
    tries = 0
    return .running
  }

  public func holdings(_ machine: borrowing Machine) -> Holdings {
    fault?.holdings(machine) ?? Holdings()
  }

  public func nextStep(_ machine: borrowing Machine) -> Step {
    fault?.nextStep(machine)
      ?? Step(
        "d5", "hmm_range_fault",
        page < pages.upperBound
          ? "read the entry at 0x\(String(page << machine.geometry.pageShift, radix: 16))"
          : "return")
  }

  public mutating func interrupt(_ machine: inout Machine) {
    fault?.interrupt(&machine)
    fault = nil
    if outcome == nil {
      found.refusal = Refusal(.EINTR, "a fatal signal ended it", rule: "P7.22")
      outcome = found
    }
  }
}
